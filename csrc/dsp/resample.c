/* Another sampling rate. The phases of the FIR are a table made once per ratio
 * (ecgkit/signal/_resample.py); an output is the dot product of one phase with a stretch of the
 * signal. Blocks start at phase 0 and their size depends on the ratio alone, so any thread count
 * gives the same bits. */
#include "ek_dsp.h"
#include <stddef.h>

enum {
    BLOCK_OUTPUTS = 4096, /* about 0.1 ms of work at 128 taps */
    BLOCK_ROUNDS = 16,    /* ... and at least two groups of 8 outputs per phase */
};

static ek_status output_length(size_t t, size_t up, size_t down, size_t *m) {
    size_t grid;
    if (__builtin_mul_overflow(t, up, &grid) || grid > SIZE_MAX - down) return EK_ESHAPE;
    *m = (grid + down - 1) / down;
    return EK_OK;
}

typedef ek_dsp_fir_f32_fn ek_dsp_fir_fn_f32;
typedef ek_dsp_fir_f64_fn ek_dsp_fir_fn_f64;

static ek_dsp_fir_f32_fn pick_fir_f32(void) {
    static const struct {
        unsigned need;
        ek_dsp_fir_f32_fn fn;
    } FIR[] = {
        {EK_CPU_AVX2, ek_dsp_fir_f32_avx2},
        {0,           ek_dsp_fir_f32_ref },
    };
    return EK_PICK(FIR);
}

static ek_dsp_fir_f64_fn pick_fir_f64(void) {
    static const struct {
        unsigned need;
        ek_dsp_fir_f64_fn fn;
    } FIR[] = {
        {EK_CPU_AVX2, ek_dsp_fir_f64_avx2},
        {0,           ek_dsp_fir_f64_ref },
    };
    return EK_PICK(FIR);
}

#define T           float
#define N(name)     name##_f32
#define N2(name, v) name##_f32##v
#include "resample_rows.h"
#undef T
#undef N
#undef N2
#define T           double
#define N(name)     name##_f64
#define N2(name, v) name##_f64##v
#include "resample_rows.h"
