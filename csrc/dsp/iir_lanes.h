/* A cascade of recursive sections over W rows at once, one row per lane: included by the file of an
 * instruction set with W (lanes) and IIR_RUN (the function's name) defined. Rows lie interleaved:
 * sample i of row r is v[i*W + r]. Common sizes are compiled with their loops unrolled, so that the
 * state stays in registers. */
#include "ek_dsp.h"
#include "iir.h"

typedef double lanes __attribute__((vector_size(W * sizeof(double)), aligned(8)));

static inline lanes all(double c) {
    lanes v;
    for (int r = 0; r < W; r++) v[r] = c;
    return v;
}

/* One pass in place, from v[0] in steps of `step` lanes; the state starts at rest on the first
 * sample. */
static inline __attribute__((always_inline)) void pass(double *v, size_t t, ptrdiff_t step,
                                                       const double *coef, const double *zi,
                                                       size_t sections, size_t order, lanes *z) {
    const size_t width = 2 * order + 1;
    const lanes first = *(const lanes *)v;
    for (size_t i = 0; i < sections * order; i++) z[i] = all(zi[i]) * first;
    for (size_t i = 0; i < t; i++, v += step * W) {
        lanes y = *(const lanes *)v;
#pragma GCC unroll 16
        for (size_t s = 0; s < sections; s++) {
            const double *b = coef + s * width,
                         *a = b + order + 1; /* a[0] is the coefficient of y[-1] */
            lanes *w = z + s * order;
            const lanes x = y;
            y = w[0] + all(b[0]) * x;
#pragma GCC unroll 16
            for (size_t k = 0; k + 1 < order; k++)
                w[k] = w[k + 1] + all(b[k + 1]) * x - all(a[k]) * y;
            w[order - 1] = all(b[order]) * x - all(a[order - 1]) * y;
        }
        *(lanes *)v = y;
    }
}

#define SIZES(X)                                                                                   \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 6) X(1, 8) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(8, 2)

void IIR_RUN(double *v, size_t t, const ek_iir *f, double *state) {
#define FIXED(S, M)                                                                                \
    if (f->sections == S && f->order == M) {                                                       \
        lanes z[S * M];                                                                            \
        pass(v, t, 1, f->coef, f->zi, S, M, z);                                                    \
        pass(v + (t - 1) * W, t, -1, f->coef, f->zi, S, M, z);                                     \
        return;                                                                                    \
    }
    SIZES(FIXED)
#undef FIXED
    pass(v, t, 1, f->coef, f->zi, f->sections, f->order, (lanes *)state);
    pass(v + (t - 1) * W, t, -1, f->coef, f->zi, f->sections, f->order, (lanes *)state);
}
