/* Proves a fresh set-up: libmlxc.a links against libmlx.so, the versions agree, a product is right, OpenBLAS did it. */
#include "mlx/c/mlx.h"

#include <stdio.h>
#include <string.h>

static int openblas_is_loaded(void) {
  char line[4096];
  int found = 0;
  FILE* maps = fopen("/proc/self/maps", "r");
  while (maps && !found && fgets(line, sizeof line, maps)) {
    found = strstr(line, "libopenblas") != NULL;
  }
  if (maps) {
    fclose(maps);
  }
  return found;
}

int main(int argc, char** argv) {
  const char* wanted = argc > 1 ? argv[1] : "";
  mlx_string version = mlx_string_new();
  mlx_version(&version);
  if (strcmp(mlx_string_data(version), wanted) != 0) {
    fprintf(stderr, "MLX %s is loaded, %s was wanted\n", mlx_string_data(version), wanted);
    return 1;
  }

  const float left[] = {1, 2, 3, 4}, right[] = {5, 6, 7, 8};
  const int shape[] = {2, 2};
  mlx_stream cpu = mlx_default_cpu_stream_new();
  mlx_array a = mlx_array_new_data(left, shape, 2, MLX_FLOAT32);
  mlx_array b = mlx_array_new_data(right, shape, 2, MLX_FLOAT32);
  mlx_array product = mlx_array_new();
  if (mlx_matmul(&product, a, b, cpu) != 0 || mlx_array_eval(product) != 0) {
    return 1;
  }
  const float* c = mlx_array_data_float32(product);
  if (c[0] != 19 || c[1] != 22 || c[2] != 43 || c[3] != 50) {
    fprintf(stderr, "wrong product: %g %g %g %g\n", c[0], c[1], c[2], c[3]);
    return 1;
  }
  if (!openblas_is_loaded()) {
    fprintf(stderr, "MLX works, but not with OpenBLAS\n");
    return 1;
  }
  return 0;
}
