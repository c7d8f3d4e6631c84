/** What a node can't do, as the API shows it. */
import { z } from 'zod';
import { explainLacks, FEATURE_NAMES, findLacks } from './features';

export const lacksSchema = z
  .object({
    modules: z.array(z.string()).describe('Of FreeSWITCH, and not loaded there.'),
    features: z.array(z.enum(FEATURE_NAMES)).describe('What needs one of them: it is not sent there.'),
    note: z.string(),
  })
  .nullable()
  .describe('What the node lacks. null: nothing, or it was not asked yet');

export function presentLacks(missing: readonly string[] | null): z.output<typeof lacksSchema> {
  const lacks = findLacks(missing, FEATURE_NAMES);
  if (lacks.length === 0) return null;
  const modules = [...new Set(lacks.flatMap((lack) => lack.modules))];
  return { modules, features: lacks.map((lack) => lack.feature), note: explainLacks(lacks) };
}
