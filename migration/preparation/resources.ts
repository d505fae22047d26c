/** What a plan takes of both systems and of the worker, against what they have. */
import { connectionsNeeded } from '../plan/connections-needed';
import type { Plan } from '../plan/schema';
import type { Forecast, ResourceProposal, SystemFinding } from './findings';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** One core serves about two lanes: one waits for a server while the other works. */
const LANES_PER_CORE = 2;
/** Share of the free connections that a migration should take: applications come and go. */
const FREE_SHARE = 0.6;

export interface Machine { cores: number; memoryBytes: number }

export function proposeResources(batch: Plan['batch'], systems: readonly SystemFinding[], forecast: Forecast, machine: Machine): ResourceProposal {
  const lanes = batch.parallel_datasets * batch.parallel_workers;
  const needed = connectionsNeeded(batch);
  const connections = systems.map(({ connection, limits }) => {
    const free = Math.max(0, limits.maxConnections - limits.reserved - limits.inUse);
    return { system: connection, needed, free, fits: needed <= free };
  });
  const cores = Math.max(1, Math.ceil(lanes / LANES_PER_CORE));
  const copy = forecast.stages.find(({ stage }) => stage === 'copy');
  return {
    connections,
    memory: { planBytes: batch.memory_limit, machineBytes: machine.memoryBytes, perCommitBytes: Math.floor(batch.memory_limit / (4 * lanes)) },
    cores: { proposed: cores, machine: machine.cores },
    bandwidthBytesPerSecond: copy && copy.likelyMs > 0 ? Math.round((forecast.bytes / copy.likelyMs) * 1000) : 0,
    advice: [...connectionAdvice(connections), ...machineAdvice(batch.memory_limit, cores, machine), ...systems.flatMap(serverAdvice)],
  };
}

function connectionAdvice(connections: ResourceProposal['connections']): string[] {
  return connections.flatMap(({ system, needed, free, fits }) => {
    if (!fits) return [`${system} has ${free} free connections and the plan takes up to ${needed}: lower batch.parallel_workers or batch.parallel_datasets`];
    return needed > free * FREE_SHARE ? [`the plan takes up to ${needed} of the ${free} free connections of ${system}: little is left for applications`] : [];
  });
}

function machineAdvice(memoryLimit: number, cores: number, machine: Machine): string[] {
  const advice: string[] = [];
  if (memoryLimit > machine.memoryBytes * 0.7) advice.push(`batch.memory_limit is ${gib(memoryLimit)} and the worker's machine has ${gib(machine.memoryBytes)}: lower it`);
  if (cores > machine.cores) advice.push(`${cores} cores serve the lanes of the plan, the worker's machine has ${machine.cores}: run more workers, or fewer lanes`);
  return advice;
}

function serverAdvice({ connection, roles, limits }: SystemFinding): string[] {
  if (!roles.includes('target')) return [];
  const advice: string[] = [];
  if (limits.maintenanceWorkMemBytes < 256 * MIB && limits.databaseBytes > GIB) advice.push(`${connection}: maintenance_work_mem is ${Math.round(limits.maintenanceWorkMemBytes / MIB)} MB; with 1 GB, indexes are built in fewer passes`);
  if (limits.maxWalBytes < 4 * GIB) advice.push(`${connection}: max_wal_size is ${gib(limits.maxWalBytes)}; a larger one means fewer checkpoints while rows are loaded`);
  return advice;
}

const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GB`;
