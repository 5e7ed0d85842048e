/* Another sampling rate. The phases of the FIR are a table made once per ratio
 * (ecgkit/signal/_resample.py); an output is the dot product of one phase with a stretch of the
 * signal. Blocks start at phase 0 and their size depends on the ratio alone, so any thread count
 * gives the same bits. */
#include "ek_dsp.h"
#include <stddef.h>
#include <string.h>

enum {
    BLOCK_OUTPUTS = 2048, /* about 30 µs of work at 96 taps */
    BLOCK_ROUNDS = 20,    /* ... and at least two groups of ten outputs per phase */
    ALIGN_ROUNDS = 10,    /* outputs per phase and alignment from which on alignment pays */
    ALIGN_TAPS = 1 << 15, /* elements the aligned taps may take */
};

static ek_status output_length(size_t t, size_t up, size_t down, size_t *m) {
    size_t grid;
    if (__builtin_mul_overflow(t, up, &grid) || grid > SIZE_MAX - down) return EK_ESHAPE;
    *m = (grid + down - 1) / down;
    return EK_OK;
}

typedef struct {
    ek_dsp_fir_f32_fn fn;
    size_t align; /* samples per vector: what windows are aligned to, where it pays */
} fir_variant_f32;

typedef struct {
    ek_dsp_fir_f64_fn fn;
    size_t align;
} fir_variant_f64;

static fir_variant_f32 pick_fir_f32(void) {
    static const struct {
        unsigned need;
        fir_variant_f32 fn;
    } FIR[] = {
        {EK_CPU_AVX2, {ek_dsp_fir_f32_avx2, 8}},
        {0,           {ek_dsp_fir_f32_ref, 1} },
    };
    return EK_PICK(FIR);
}

static fir_variant_f64 pick_fir_f64(void) {
    static const struct {
        unsigned need;
        fir_variant_f64 fn;
    } FIR[] = {
        {EK_CPU_AVX2, {ek_dsp_fir_f64_avx2, 4}},
        {0,           {ek_dsp_fir_f64_ref, 1} },
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
