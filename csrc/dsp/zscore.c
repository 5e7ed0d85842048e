#include "ek_dsp.h"
#include <math.h>

void ek_dsp_zscore_row_f32_ref(const float *x, size_t t, double eps, float *out) {
    double sum = 0.0, squares = 0.0; /* double: an f32 sum of 5000 terms loses a digit */
    for (size_t i = 0; i < t; i++) sum += (double)x[i];
    const double mean = sum / (double)t;
    for (size_t i = 0; i < t; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double deviation = sqrt(squares / (double)t);
    const double scale = deviation > 0.0 || isnan(deviation) ? 1.0 / (deviation + eps) : 0.0;
    for (size_t i = 0; i < t; i++) out[i] = (float)(((double)x[i] - mean) * scale);
}

typedef struct {
    const float *x;
    float *out;
    size_t t;
    double eps;
    ek_dsp_zscore_f32_fn row;
} zscore_job;

static ek_status zscore_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const zscore_job *j = ctx;
    (void)tmp;
    for (size_t i = begin; i < end; i++) j->row(j->x + i * j->t, j->t, j->eps, j->out + i * j->t);
    return EK_OK;
}

ek_status ek_dsp_zscore_f32(const float *x, size_t n, size_t t, double eps, float *out) {
    static const struct {
        unsigned need;
        ek_dsp_zscore_f32_fn fn;
    } ZSCORE[] = {
        {EK_CPU_AVX2, ek_dsp_zscore_row_f32_avx2},
        {0,           ek_dsp_zscore_row_f32_ref },
    };
    if (t == 0) return n == 0 ? EK_OK : EK_ESHAPE;
    zscore_job j = {x, out, t, eps, EK_PICK(ZSCORE)};
    return ek_parallel_for(n, 1 + 65536 / t, zscore_rows, &j); /* pieces of about 64k samples */
}

typedef struct {
    const double *x;
    double *out;
    size_t t;
    double eps;
} zscore64_job;

static ek_status zscore64_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const zscore64_job *j = ctx;
    (void)tmp;
    for (size_t row = begin; row < end; row++) {
        const double *x = j->x + row * j->t;
        double *out = j->out + row * j->t, sum = 0.0, squares = 0.0;
        for (size_t i = 0; i < j->t; i++) sum += x[i];
        const double mean = sum / (double)j->t;
        for (size_t i = 0; i < j->t; i++) squares += (x[i] - mean) * (x[i] - mean);
        const double deviation = sqrt(squares / (double)j->t);
        const double scale = deviation > 0.0 || isnan(deviation) ? 1.0 / (deviation + j->eps) : 0.0;
        for (size_t i = 0; i < j->t; i++) out[i] = (x[i] - mean) * scale;
    }
    return EK_OK;
}

ek_status ek_dsp_zscore_f64(const double *x, size_t n, size_t t, double eps, double *out) {
    if (t == 0) return n == 0 ? EK_OK : EK_ESHAPE;
    zscore64_job j = {x, out, t, eps};
    return ek_parallel_for(n, 1 + 32768 / t, zscore64_rows, &j);
}
