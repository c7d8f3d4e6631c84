/** Where the scripts find the project, and how they say what a person can correct. */
export { projectRoot } from '../src/infra/project-root';

/** What a person can correct: printed as it stands, without a stack. */
export class StartFault extends Error {
  override name = 'StartFault';
}
