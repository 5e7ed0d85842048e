/* A cascade of recursive sections over W rows at once, one row per lane: included by the file of an
 * instruction set with W (lanes) and NAME(x) (x with a suffix) defined. Rows lie interleaved:
 * sample i of row r is v[i*W + r]. Common sizes are compiled with their loops unrolled, so that the
 * state stays in registers. */
#include "iir.h"

typedef double NAME(lanes) __attribute__((vector_size(W * sizeof(double)), aligned(8)));

/* One pass in place, from v[0] in steps of `step` doubles; the state starts at rest on the first
 * sample. */
static inline __attribute__((always_inline)) void NAME(pass)(double *v, size_t t, ptrdiff_t step,
                                                             const double *coef, const double *zi,
                                                             size_t sections, size_t order,
                                                             NAME(lanes) * z) {
    const size_t width = 2 * order + 1;
    const NAME(lanes) first = *(const NAME(lanes) *)v;
    for (size_t i = 0; i < sections * order; i++) z[i] = zi[i] * first;
    for (size_t i = 0; i < t; i++, v += step) {
        NAME(lanes) y = *(const NAME(lanes) *)v;
#pragma GCC unroll 16
        for (size_t s = 0; s < sections; s++) {
            const double *b = coef + s * width,
                         *a = b + order + 1; /* a[0] is the coefficient of y[-1] */
            NAME(lanes) *w = z + s * order;
            const NAME(lanes) x = y;
            y = w[0] + b[0] * x;
#pragma GCC unroll 16
            for (size_t k = 0; k + 1 < order; k++) w[k] = w[k + 1] + b[k + 1] * x - a[k] * y;
            w[order - 1] = b[order] * x - a[order - 1] * y;
        }
        *(NAME(lanes) *)v = y;
    }
}

#define SIZES(X)                                                                                   \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 6) X(1, 8) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(8, 2)

static void NAME(run)(double *v, size_t t, const ek_iir *f, double *state) {
    double *end = v + (t - 1) * W;
#define FIXED(S, M)                                                                                \
    if (f->sections == S && f->order == M) {                                                       \
        NAME(lanes) z[S * M];                                                                      \
        NAME(pass)(v, t, W, f->coef, f->zi, S, M, z);                                              \
        NAME(pass)(end, t, -W, f->coef, f->zi, S, M, z);                                           \
        return;                                                                                    \
    }
    SIZES(FIXED)
#undef FIXED
    NAME(lanes) *z = (NAME(lanes) *)state;
    NAME(pass)(v, t, W, f->coef, f->zi, f->sections, f->order, z);
    NAME(pass)(end, t, -W, f->coef, f->zi, f->sections, f->order, z);
}
