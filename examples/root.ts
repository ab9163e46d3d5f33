// A root built from nothing: node out/examples/root.js
//
// No image, and no directory on the disk: an empty file system in memory, with the
// host's programs, and the few files that programs expect, as bwrap would build it.
import { bind, CofferdamError, Container, emptyRoot, mounts, tmpfs } from 'cofferdam'

const { directory, file, remount, symlink } = mounts

async function main(): Promise<void> {
  const builder = new Container('nothing')
    .rootfs(emptyRoot({ size: '1MiB' }), { readonly: true })
    .mount(
      // The host's programs; and the directories that on most systems are links into them.
      bind('/usr', '/usr', { readonly: true }),
      ...['bin', 'sbin', 'lib', 'lib64'].map(name => symlink(`/${name}`, `usr/${name}`)),
      // Users and names of its own.
      file('/etc/passwd', 'root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n'),
      file('/etc/group', 'root:x:0:\nme:x:1000:\n'),
      file('/etc/hosts', '127.0.0.1 localhost\n'),
      file('/etc/secret', 'for root only\n', { mode: 0o600 }),
      // Places to write to, in a root that is read-only otherwise.
      directory('/root', { mode: 0o700 }),
      tmpfs('/home/me', { mode: 0o700, uid: 1000, gid: 1000, size: '1MiB' }),
      tmpfs('/tmp'),
      // What was mounted can be changed again.
      tmpfs('/srv'),
      file('/srv/fixed', 'as it was made\n'),
      remount('/srv', { readonly: true }),
    )

  await using box = await builder.create()
  const script = `
    echo "$(id -un) in $(pwd), on $(stat -f -c %T /)"
    for place in / /bin /home/me /etc /srv /tmp; do
      ( : > $place/x ) 2>/dev/null && answer=yes || answer=no
      echo "  $(stat -c '%A %U' $place) $answer $(stat -c %N $place)"
    done
    cat /etc/secret /srv/fixed 2>&1`
  const main = await box.start(['sh', '-c', script], { user: 'me', cwd: '/home/me' })
  main.stdin.end()
  process.stdout.write(await main.stdout.text())
  console.log('ended with', await main.exited)
}

try {
  await main()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
