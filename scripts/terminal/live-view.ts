import logUpdate from 'log-update';
import type { RunProgress } from '../../migration/protocol';
import { renderDashboard } from './dashboard';
import { describeChanges } from './notable-changes';
import type { Terminal } from './terminal';

/** Shows a migration while it goes on: redrawn in place for a person, one line per notable change otherwise. */
export interface LiveView {
  show(view: RunProgress): void;
  /** A line that stays, above the redrawn part. */
  note(line: string): void;
  /** Leaves the last picture on the screen. No more is drawn after it. */
  end(): void;
}

export interface LiveViewOptions { terminal: Terminal; stream: NodeJS.WriteStream; /** Lines below the dashboard. */ footer?: string[] }

export function createLiveView({ terminal, stream, footer = [] }: LiveViewOptions): LiveView {
  return terminal.interactive ? redrawnView(terminal, stream, footer) : lineView(terminal, stream);
}

function redrawnView(terminal: Terminal, stream: NodeJS.WriteStream, footer: string[]): LiveView {
  const draw = logUpdate.create(stream, { showCursor: true });
  let last: RunProgress | null = null;
  let ended = false;
  const redraw = (): void => {
    if (!last) return;
    const size = { ...terminal, columns: stream.columns || terminal.columns, rows: stream.rows || terminal.rows };
    draw([...renderDashboard(last, size), ...footer].join('\n'));
  };
  return {
    show(view) {
      if (ended) return;
      last = view;
      redraw();
    },
    note(line) {
      draw.clear();
      stream.write(`${line}\n`);
      if (!ended) redraw();
    },
    end() {
      if (ended) return;
      ended = true;
      // The footer speaks of keys to press: it goes with the live part.
      if (last) draw(renderDashboard(last, terminal).join('\n'));
      draw.done();
    },
  };
}

function lineView(terminal: Terminal, stream: NodeJS.WriteStream): LiveView {
  let last: RunProgress | null = null;
  return {
    show(view) {
      for (const line of describeChanges(last, view, terminal)) stream.write(`${new Date().toISOString().slice(11, 19)}  ${line}\n`);
      last = view;
    },
    note: (line) => void stream.write(`${line}\n`),
    end: () => undefined,
  };
}
