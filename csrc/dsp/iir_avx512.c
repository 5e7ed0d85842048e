/* Eight rows per vector, state and coefficients in 32 registers. Built without fused multiply-add,
 * as iir_avx2.c. */
#define W       8
#define NAME(x) x##_8
#include "iir_lanes.h"

void iir_run8_avx512(double *v, size_t t, const ek_iir *f, double *state) {
    run_8(v, t, f, state);
}
