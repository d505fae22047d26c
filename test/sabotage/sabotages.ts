import { COPY_SABOTAGES } from './copy-sabotages';
import { CUTOVER_SABOTAGES } from './cutover-sabotages';
import { LIFE_SABOTAGES } from './life-sabotages';
import { PLAN_SABOTAGES } from './plan-sabotages';
import type { Sabotage } from './planting';
import { PROOF_SABOTAGES } from './proof-sabotages';
import { RUN_SABOTAGES } from './run-sabotages';
import { TARGET_SABOTAGES } from './target-sabotages';

/** Bugs that lose, double, invent or hide rows, each as a planted change. Most of them were real ones in systems of this field, some in this one. */
export const SABOTAGES: readonly Sabotage[] = [...COPY_SABOTAGES, ...TARGET_SABOTAGES, ...PROOF_SABOTAGES, ...PLAN_SABOTAGES, ...RUN_SABOTAGES, ...LIFE_SABOTAGES, ...CUTOVER_SABOTAGES];
