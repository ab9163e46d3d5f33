// Which devices a group's processes may use: node out/examples/devices.js
//
// Permissions of /dev are one thing, a device's number another: who may mknod(2) can give
// any device any name. So the kernel asks the control group at each open(2) and mknod(2):
// version 1 a list (devices.list), version 2 a small program (BPF), made here of the same rules.
import { CofferdamError, namespaces } from 'cofferdam'
import { allowsDevice, Cgroup, defaultDeviceRules } from 'cofferdam/cgroups'

// Root, who has every capability, tries.
const TRY = `
  head -c 4 /dev/zero | wc -c
  head -c 4 /dev/kmsg || echo 'the log of the kernel is not for it'`

async function tryIn(group: Cgroup): Promise<void> {
  const child = await namespaces.spawn(['sh', '-c', `{ ${TRY}\n} 2>/dev/null`], { cgroup: group })
  for await (const line of child.stdout.lines()) console.log(`  ${line}`)
}

async function show(): Promise<void> {
  await using group = await Cgroup.create('devices', { devices: defaultDeviceRules })
  console.log("with the rules of any container's")
  await tryIn(group)

  // Of rules that are about the same, the last one decides.
  const none = { type: 'c', major: 1, minor: 5 } as const // /dev/zero
  const rules = [...defaultDeviceRules, { allow: false, ...none }]
  console.log(`reading /dev/zero: ${allowsDevice(rules, { ...none, access: 'r' })}`)
  await group.setDevices(rules) // while processes of it go on
  await tryIn(group)
}

try {
  await show()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
