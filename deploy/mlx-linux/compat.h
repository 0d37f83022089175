/* For C and for bindgen, what compat.hpp is for C++: half-precision types where mlx-c declares none, as their bits. */
#pragma once

#if !defined(__aarch64__)
#include <stdint.h>
typedef uint16_t float16_t;
typedef uint16_t bfloat16_t;
#define HAS_FLOAT16
#define HAS_BFLOAT16
#endif
