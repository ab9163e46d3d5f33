export { defaultManager, type ManagerName, managerOption } from './detect.js'
export {
  asUnit,
  attachProcess,
  createUnit,
  homeOf,
  isFar,
  openUnit,
  setUnit,
  stopUnit,
  type Unit,
} from './group.js'
export { unitName } from './units.js'
