export { doctor } from './doctor.js'
export type { Check, CheckError, Facts, Report } from './report.js'
