// For bindgen: mlx-c declares the half types only on Arm. On x86_64 they travel as their bits.
#include <stdint.h>
typedef uint16_t float16_t;
typedef uint16_t bfloat16_t;
#define HAS_FLOAT16
#define HAS_BFLOAT16
