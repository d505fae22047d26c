import { Marks } from '../fixtures/leak-marks';

/** The search for leaks is worth as much as the forms it knows. */
describe('a mark is found', () => {
  const marks = new Marks();
  const text = marks.text('secret', 'here');
  const number = marks.number('row', 'there');
  const found = (content: string | Buffer): (string | undefined)[] => marks.find('p', content).map((hit) => hit.mark?.text);

  it.each<[string, (mark: string) => string | Buffer]>([
    ['as it is', (mark) => `before ${mark} after`],
    ['in capitals', (mark) => mark.toUpperCase()],
    ['inside JSON inside JSON', (mark) => JSON.stringify(JSON.stringify({ a: `"${mark}"` }))],
    ['between other bytes', (mark) => Buffer.concat([Buffer.from([0, 255, 1]), Buffer.from(mark), Buffer.from([0])])],
    ['in hex', (mark) => `\\x${Buffer.from(mark).toString('hex')}`],
    ['in base64', (mark) => Buffer.from(mark).toString('base64')],
    ['in base64, one byte in', (mark) => Buffer.from(`a${mark}`).toString('base64')],
    ['in base64, two bytes in', (mark) => Buffer.from(`ab${mark}cd`).toString('base64')],
    ['in base64, deep inside JSON', (mark) => JSON.stringify({ data: Buffer.from(JSON.stringify({ message: `Key (x)=(${mark}) exists` })).toString('base64') })],
    ['in UTF-16', (mark) => Buffer.from(mark, 'utf16le')],
  ])('%s', (_, write) => {
    expect(found(write(text))).toContain(text);
    expect(found(write(number))).toContain(number);
  });

  it('and nothing where there is none', () => {
    expect(found('nothing here, 12345')).toEqual([]);
  });
});
