{
  'variables': {
    'core': [
      'src-native/core/channel.c',
      'src-native/core/check.c',
      'src-native/core/answer.c',
      'src-native/core/clone.c',
      'src-native/core/copy_tree.c',
      'src-native/core/keep.c',
      'src-native/core/operations.c',
      'src-native/core/run.c',
      'src-native/core/stay.c',
    ],
    # A handful of kilobytes that start in microseconds: no C library, no
    # loader, no relocations.
    'init_cflags': [
      '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-Os', '-ffreestanding',
      '-fno-stack-protector', '-fno-pie', '-fno-asynchronous-unwind-tables',
      '-fno-unwind-tables',
    ],
    'init_ldflags': [
      '-static', '-nostdlib', '-no-pie', '-s', '-Wl,--build-id=none',
      '-Wl,-z,noseparate-code', '-Wl,-z,norelro',
    ],
  },
  'conditions': [
    ['OS=="linux"', {
      'target_defaults': {
        'cflags!': ['-pthread', '-fno-omit-frame-pointer', '-m64'],
      },
      'targets': [
        {
          'target_name': 'init',
          'type': 'executable',
          'sources': ['src-native/core/init.c', '<@(core)'],
          'cflags!': ['-fPIC', '-O3'],
          'cflags': ['<@(init_cflags)'],
          'ldflags!': ['-pthread', '-rdynamic', '-m64'],
          'ldflags': ['<@(init_ldflags)'],
        },
        {
          # The same with a switch that makes any one system call fail, for
          # test/faults.
          'target_name': 'init-faulty',
          'type': 'executable',
          'sources': ['src-native/core/init.c', '<@(core)'],
          'defines': ['CF_FAULTS'],
          'cflags!': ['-fPIC', '-O3'],
          'cflags': ['<@(init_cflags)'],
          'ldflags!': ['-pthread', '-rdynamic', '-m64'],
          'ldflags': ['<@(init_ldflags)'],
        },
        {
          'target_name': 'cofferdam',
          'dependencies': ['init'],
          'sources': [
            'src-native/addon/addon.cc',
            'src-native/addon/bpf.cc',
            'src-native/addon/credentials.cc',
            'src-native/addon/descriptors.cc',
            'src-native/addon/environment.cc',
            'src-native/addon/environment_end.cc',
            'src-native/addon/files.cc',
            'src-native/addon/maker.cc',
            'src-native/addon/namespaces.cc',
            'src-native/addon/mounts.cc',
            'src-native/addon/netlink.cc',
            'src-native/addon/pidfd.cc',
            'src-native/addon/procfs.cc',
            'src-native/addon/reader.cc',
            'src-native/addon/spawner.cc',
            'src-native/addon/terminals.cc',
            'src-native/core/away.c',
            'src-native/core/init_fd.c',
            'src-native/core/send_plan.c',
            'src-native/core/spawn.c',
            '<@(core)',
            '<(INTERMEDIATE_DIR)/init_image.c',
          ],
          'actions': [
            {
              'action_name': 'embed_init',
              'inputs': ['scripts/embed-init.mjs', '<(PRODUCT_DIR)/init'],
              'outputs': ['<(INTERMEDIATE_DIR)/init_image.c'],
              'action': [
                'node', 'scripts/embed-init.mjs', '<(PRODUCT_DIR)/init',
                '<(INTERMEDIATE_DIR)/init_image.c',
              ],
            },
          ],
          'include_dirs': [
            '<!(node -p "require(\'node-addon-api\').include_dir")',
            'src-native/addon',
          ],
          'defines': [
            'CF_HOST', 'NAPI_VERSION=8', 'NODE_ADDON_API_CPP_EXCEPTIONS',
            # A worker that is being terminated takes no exceptions any more.
            'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
          ],
          # The spawner's thread outlives the worker that loaded the addon.
          'ldflags': ['-Wl,-z,nodelete'],
          'cflags': ['-Wall', '-Wextra', '-Werror', '-fvisibility=hidden'],
          'cflags_c': ['-std=gnu11'],
          # Node's own flags name the C++ standard, 17 or later.
          'cflags_cc!': ['-fno-exceptions', '-fno-rtti'],
        },
      ],
    }, {
      # Elsewhere there is nothing to build: the first call says so.
      'targets': [{ 'target_name': 'cofferdam', 'type': 'none' }],
    }],
  ],
}
