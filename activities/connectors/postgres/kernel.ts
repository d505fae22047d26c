import type { Batch, Encoding, StageResult } from '../../../migration/batch';
import { MigrationError } from '../../../migration/errors';
import type { Mapping } from '../../../migration/mapping';
import { valuesKernel } from '../../../migration/values-kernel';
import { pgcopyKernel } from './pgcopy-kernel';

/** The pure stages, compiled once per dataset for one encoding. The same mapping gives the same rows and reasons in each. */
export interface Kernel {
  transform(batch: Batch): StageResult;
  validate(batch: Batch): StageResult;
}

export function compileKernel(encoding: Encoding, mapping: Mapping): Kernel {
  const wrong = (batch: Batch): never => {
    throw new MigrationError('INTERNAL', `a batch in ${batch.encoding} met a kernel for ${encoding}`);
  };
  if (encoding === 'values') {
    const kernel = valuesKernel(mapping);
    return {
      transform: (batch) => (batch.encoding === 'values' ? kernel.transform(batch) : wrong(batch)),
      validate: (batch) => (batch.encoding === 'values' ? kernel.validate(batch) : wrong(batch)),
    };
  }
  const kernel = pgcopyKernel(mapping);
  return {
    transform: (batch) => (batch.encoding === 'pgcopy' ? kernel.transform(batch) : wrong(batch)),
    validate: (batch) => (batch.encoding === 'pgcopy' ? kernel.validate(batch) : wrong(batch)),
  };
}
