#include "frechet.h"
#include <math.h>
#include <string.h>

static const struct {
    unsigned need;
    ek_frechet_kernel fn;
} KERNELS_F32[] =
    {
        {EK_CPU_AVX512, {ek_frechet_one_f32_avx512, ek_frechet_step_f32_avx512, 8, 16}},
        {EK_CPU_AVX2,   {ek_frechet_one_f32_avx2, ek_frechet_step_f32_avx2, 4, 8}     },
        {0,             {NULL, NULL, 0, 0}                                            }, /* by rows */
},
  KERNELS_F64[] = {
      {EK_CPU_AVX512, {ek_frechet_one_f64_avx512, ek_frechet_step_f64_avx512, 8, 8}},
      {EK_CPU_AVX2, {ek_frechet_one_f64_avx2, ek_frechet_step_f64_avx2, 4, 4}},
      {0, {NULL, NULL, 0, 0}},
};

#define REAL    float
#define NAME(x) x##_f32
#define KERNELS KERNELS_F32
#include "frechet_impl.h"
#undef REAL
#undef NAME
#undef KERNELS

#define REAL    double
#define NAME(x) x##_f64
#define KERNELS KERNELS_F64
#include "frechet_impl.h"

enum { DIAGONAL, UP, LEFT };

ek_status ek_metric_coupling(const double *p, size_t n, const double *q, size_t m, double scale,
                             int64_t *path, size_t *length) {
    if (n == 0 || m == 0) return EK_ESHAPE;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    uint8_t *from = ek_arena_alloc(tmp, n, m);
    double *row = ek_arena_f64(tmp, m + 1);
    ek_status st = from && row ? EK_OK : EK_ENOMEM;
    for (size_t j = 0; j <= m && st == EK_OK; j++) row[j] = INFINITY;
    for (size_t i = 0; i < n && st == EK_OK; i++) {
        double corner = i == 0 ? 0.0 : INFINITY; /* C[i-1][j-1] */
        for (size_t j = 0; j < m; j++) {
            const double t = scale >= 0 ? ((double)i - (double)j) * scale : 0.0, y = p[i] - q[j];
            const double d = t * t + y * y;
            double best = corner;
            from[i * m + j] = DIAGONAL;
            if (row[j + 1] < best) {
                best = row[j + 1];
                from[i * m + j] = UP;
            }
            if (row[j] < best && j > 0) {
                best = row[j];
                from[i * m + j] = LEFT;
            }
            corner = row[j + 1];
            row[j + 1] = d > best ? d : best;
        }
        st = ek_poll();
    }
    if (st == EK_OK) {
        size_t i = n - 1, j = m - 1, count = 0;
        for (;;) { /* backwards, then turned round */
            path[2 * count] = (int64_t)i;
            path[2 * count + 1] = (int64_t)j;
            count++;
            if (i == 0 && j == 0) break;
            const uint8_t step = from[i * m + j];
            if (step != LEFT) i--;
            if (step != UP) j--;
        }
        for (size_t k = 0; k < count / 2; k++)
            for (size_t v = 0; v < 2; v++) {
                const int64_t swap = path[2 * k + v];
                path[2 * k + v] = path[2 * (count - 1 - k) + v];
                path[2 * (count - 1 - k) + v] = swap;
            }
        *length = count;
    }
    ek_arena_return(tmp);
    return st;
}
