// Forced into every file of mlx-c. It closes two gaps: gcc 12 has no std::format, and mlx-c declares the half types only
// on Arm.
#pragma once
#if __has_include(<format>)
#include <format>
#else
#define FMT_HEADER_ONLY
#include <fmt/format.h>
namespace std {
using fmt::format;
}
#endif
// CMake's own compiler check is compiled with this file too, and without MLX's include path.
#if __has_include("mlx/types/half_types.h")
#include "mlx/types/half_types.h"
using float16_t = mlx::core::float16_t;
using bfloat16_t = mlx::core::bfloat16_t;
#define HAS_FLOAT16
#define HAS_BFLOAT16
#endif
