/**
 * The local stack: real servers for the demo, the tests, CI and `caravan run`, without Docker.
 *
 * Every service is had by the first way that works (given address, program on PATH, registry package, ...), listens on
 * 127.0.0.1 only, and ends with the process that started it, however that process ends.
 *
 *   const stack = await startStack({ dir: '.caravan/demo' });
 *   stack.temporal?.address; stack.postgres['legacy']?.url;
 *   await stack.stop();
 */
export { startStack, type PostgresService, type Stack, type StackOptions, type TemporalOptions, type TemporalService } from './start-stack';

export { attachOrStartTemporal, runningTemporal, type ProjectTemporal, type ProjectTemporalOptions } from './project-temporal';
export { environmentFile, stackDown, stackLogs, stackStatus, stackUp, stateFile, type ServiceRecord, type ServiceState, type ServiceStatus, type StackUpOptions } from './persistent-stack';
export { doctor, renderDoctor, type ServiceReport } from './doctor';
export { registerStackCommand } from './command';
export { StackError } from './stack-error';
