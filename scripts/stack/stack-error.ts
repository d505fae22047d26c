/** A server cannot be started or reached. The message names the remedy; commands exit with 5. */
export class StackError extends Error {
  constructor(
    message: string,
    readonly remedy?: string,
  ) {
    super(remedy ? `${message}\n${remedy}` : message);
    this.name = 'StackError';
  }
}
