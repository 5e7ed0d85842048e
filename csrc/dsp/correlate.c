/* Cross- and autocorrelation through the spectrum, in double. */
#include "ek_dsp.h"
#include "ek_fft.h"
#include <math.h>
#include <string.h>

typedef struct {
    const double *x, *y; /* y NULL: autocorrelation */
    double *out;
    size_t t, lags, size;
    int normalize;
    const ek_fft_plan *forward, *backward;
} correlate_job;

/* Sum of x - from, or of its squares; eight sums side by side, in the same order everywhere. */
static double sum_of(const double *x, size_t t, double from, int square) {
    double s[8] = {0.0}, rest = 0.0;
    size_t i = 0;
    for (; i + 8 <= t; i += 8)
        for (size_t k = 0; k < 8; k++) {
            const double d = x[i + k] - from;
            s[k] += square ? d * d : d;
        }
    for (; i < t; i++) rest += square ? (x[i] - from) * (x[i] - from) : x[i] - from;
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])) + rest;
}

/* to (size) = the row, centred and scaled to unit power if asked, then zeros; a constant row
 * becomes 0. */
static void prepare(const double *x, size_t t, size_t size, int normalize, double *to) {
    double mean = 0.0, power = 0.0, scale = 1.0;
    if (normalize) {
        mean = sum_of(x, t, 0.0, 0) / (double)t;
        power = sum_of(x, t, mean, 1);
        scale = power > 0.0 || isnan(power) ? 1.0 / sqrt(power) : 0.0;
    }
    for (size_t i = 0; i < t; i++) to[i] = (x[i] - mean) * scale;
    memset(to + t, 0, (size - t) * sizeof *to);
}

static ek_status correlate_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const correlate_job *j = ctx;
    const size_t mark = ek_arena_mark(tmp), bins = j->size / 2 + 1, lags = j->lags;
    double *row = ek_arena_f64(tmp, j->size), *a = ek_arena_f64(tmp, 2 * bins),
           *b = ek_arena_f64(tmp, 2 * bins);
    if (!row || !a || !b) return EK_ENOMEM;
    for (size_t r = begin; r < end; r++) {
        prepare(j->x + r * j->t, j->t, j->size, j->normalize, row);
        ek_fft_run_f64(j->forward, row, a);
        if (j->y != NULL) {
            prepare(j->y + r * j->t, j->t, j->size, j->normalize, row);
            ek_fft_run_f64(j->forward, row, b);
        } else {
            memcpy(b, a, 2 * bins * sizeof *b);
        }
        for (size_t c = 0; c < bins; c++) { /* conj(X) Y / size */
            const double re = a[2 * c] * b[2 * c] + a[2 * c + 1] * b[2 * c + 1];
            const double im = a[2 * c] * b[2 * c + 1] - a[2 * c + 1] * b[2 * c];
            a[2 * c] = re / (double)j->size;
            a[2 * c + 1] = im / (double)j->size;
        }
        ek_fft_run_f64(j->backward, a, row);
        double *out = j->out + r * (j->y != NULL ? 2 * lags + 1 : lags + 1);
        if (j->y != NULL)
            for (size_t l = 1; l <= lags; l++) out[lags - l] = row[j->size - l];
        memcpy(j->y != NULL ? out + lags : out, row, (lags + 1) * sizeof *out);
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_dsp_correlate_f64(const double *x, const double *y, size_t n, size_t t, size_t lags,
                               int normalize, double *out) {
    ek_fft_plan *forward = NULL, *backward = NULL;
    if (n == 0) return EK_OK;
    if (t == 0 || lags >= t || t > SIZE_MAX / 64) return EK_ESHAPE;
    const size_t good = ek_fft_good_size(t + lags), size = good + good % 2;
    ek_status st = ek_fft_get(EK_FFT_R2C, EK_FFT_F64, size, &forward);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_C2R, EK_FFT_F64, size, &backward);
    if (st == EK_OK) {
        correlate_job j = {x, y, out, t, lags, size, normalize, forward, backward};
        st = ek_parallel_for(n, 1 + 16384 / size, correlate_rows, &j);
    }
    ek_fft_put(forward);
    ek_fft_put(backward);
    return st;
}
