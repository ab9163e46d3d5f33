// The executable of src-native/core/init.c as bytes; the build generates the
// source that defines it.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
extern const unsigned char init_image[];
extern const size_t init_image_size;
#ifdef __cplusplus
}
#endif
