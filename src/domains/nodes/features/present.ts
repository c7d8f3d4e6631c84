/** What a node can't do, as the API shows it. */
import { z } from 'zod';
import { explainLacks, FEATURE_NAMES, findLacks } from './features';

export const lacksSchema = z
  .object({
    modules: z.array(z.string()).describe('FreeSWITCH modules that are not loaded on the node.'),
    features: z.array(z.enum(FEATURE_NAMES)).describe('Features that need them: the node gets no such work.'),
    note: z.string(),
  })
  .nullable()
  .describe('What the node lacks; null: nothing, or not known yet');

export function presentLacks(missing: readonly string[] | null): z.output<typeof lacksSchema> {
  const lacks = findLacks(missing, FEATURE_NAMES);
  if (lacks.length === 0) return null;
  const modules = [...new Set(lacks.flatMap((lack) => lack.modules))];
  return { modules, features: lacks.map((lack) => lack.feature), note: explainLacks(lacks) };
}
