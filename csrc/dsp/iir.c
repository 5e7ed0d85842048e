/* Forward-backward recursive filters, in double whatever the samples are. Rows are filtered side by
 * side, one per vector lane: a recursion cannot be vectorised along time. */
#include "ek_dsp.h"
#include "iir.h"

void iir_run_ref(double *v, size_t t, const ek_iir *f, double *state) {
    const size_t order = f->order, width = 2 * order + 1;
    for (int backward = 0; backward < 2; backward++) {
        const double first = v[backward ? t - 1 : 0];
        for (size_t i = 0; i < f->sections * order; i++) state[i] = f->zi[i] * first;
        for (size_t i = 0; i < t; i++) {
            double *sample = v + (backward ? t - 1 - i : i), y = *sample;
            for (size_t s = 0; s < f->sections; s++) {
                const double *b = f->coef + s * width, *a = b + order + 1, x = y;
                double *z = state + s * order;
                y = z[0] + b[0] * x;
                for (size_t k = 0; k + 1 < order; k++) z[k] = z[k + 1] + b[k + 1] * x - a[k] * y;
                z[order - 1] = b[order] * x - a[order - 1] * y;
            }
            *sample = y;
        }
    }
}

#define ROWS_REF(T, GATHER, SCATTER)                                                               \
    static void GATHER(const T *const *x, size_t t, size_t width, double *v) {                     \
        for (size_t i = 0; i < t; i++) v[i * width] = (double)x[0][i];                             \
    }                                                                                              \
    static void SCATTER(const double *v, size_t t, size_t width, T *const *out) {                  \
        for (size_t i = 0; i < t; i++) out[0][i] = (T)v[i * width];                                \
    }
ROWS_REF(float, gather_f32, scatter_f32)
ROWS_REF(double, gather_f64, scatter_f64)

static const iir_rows rows_ref = {gather_f32, gather_f64, scatter_f32, scatter_f64};

typedef struct {
    iir_run_fn run, run_few; /* of `lanes` rows, and of `few` rows or less */
    size_t lanes, few;       /* few: also the rows that `rows` takes at a time */
    const iir_rows *rows;
} iir_variant;

static iir_variant pick(void) {
    static const struct {
        unsigned need;
        iir_variant fn;
    } RUN[] = {
        {EK_CPU_AVX512, {iir_run8_avx512, iir_run4_avx2, 8, 4, &iir_rows_avx2}},
        {EK_CPU_AVX2,   {iir_run4_avx2, iir_run4_avx2, 4, 4, &iir_rows_avx2}  },
        {0,             {iir_run_ref, iir_run_ref, 1, 1, &rows_ref}           },
    };
    return EK_PICK(RUN);
}

#define T       float
#define N(name) name##_f32
#include "iir_rows.h"
#undef T
#undef N
#define T       double
#define N(name) name##_f64
#include "iir_rows.h"
