import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';

jest.setTimeout(120_000);

/** Folders of packages that stand in the bundle, from the module names of its source map. */
async function packagesOf(workflowsPath: string): Promise<Set<string>> {
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
  const encoded = /sourceMappingURL=data:application\/json;charset=utf-8;base64,([\w+/=]+)/.exec(code)?.[1];
  if (!encoded) throw new Error('The bundle has no source map.');
  const { sources } = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')) as { sources: string[] };
  const names = sources.map((source) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1] ?? source.replace(/^webpack:\/\/[^/]*\//, '').split('/').slice(0, -1).join('/'));
  return new Set(names);
}

describe('the workflow bundle', () => {
  it('holds the workflows and the domain, and no driver, schema library or Node built-in', async () => {
    // The bundler itself fails on Node built-ins.
    const packages = [...(await packagesOf(path.resolve(__dirname, '../../workflows/index.ts')))];
    expect(packages.some((name) => name.endsWith('workflows'))).toBe(true);
    const allowed = /^(@temporalio\/(common|workflow|proto)|long|ms|nexus-rpc|@ungap\/.*|protobufjs|@protobufjs\/.*|headers-polyfill)$/;
    const foreign = packages.filter((name) => !allowed.test(name) && !/(^|\/)(workflows|migration|src|webpack.*)$/.test(name) && name !== '' && name !== '.');
    expect(foreign).toEqual([]);
  });

  it('would fail on a built-in: a workflow that imports a driver does not build', async () => {
    await expect(bundleWorkflowCode({ workflowsPath: path.resolve(__dirname, '../../node_modules/pg/lib/index.js'), logger: new DefaultLogger('ERROR') })).rejects.toThrow();
  });
});
