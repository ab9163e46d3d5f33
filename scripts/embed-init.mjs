// Writes an executable as a C array: node embed-init.mjs EXECUTABLE OUTPUT.c
import { readFileSync, writeFileSync } from 'node:fs'

const [executable, output] = process.argv.slice(2)
const bytes = readFileSync(executable)
writeFileSync(
  output,
  `#include "init_image.h"
const unsigned char init_image[] __attribute__((aligned(16))) = {${bytes.join(',')}};
const size_t init_image_size = sizeof init_image;
`,
)
