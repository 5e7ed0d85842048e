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

typedef struct {
    iir_run_fn run;
    size_t lanes;
} iir_variant;

static iir_variant pick(void) {
    static const struct {
        unsigned need;
        iir_variant fn;
    } RUN[] = {
        {EK_CPU_AVX2, {iir_run_avx2, 4}},
        {0,           {iir_run_ref, 1} },
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
