/* What the waves measure: amplitudes, and the ST segment. */
#include "ek_dsp.h"
#include <math.h>

static const double BASE = 0.020;  /* s before the QRS that give the level everything refers to */
static const double TRACE = 0.03;  /* of the QRS range: a smaller deflection is none */
static const double HALF = 0.004;  /* s to each side of J, J+60, J+80 that are averaged */
static const double ST_END = 0.08; /* s after J: the slope's window */

static double mean_of(const float *x, int64_t a, int64_t b) {
    double sum = 0.0;
    for (int64_t i = a; i <= b; i++) sum += x[i];
    return sum / (double)(b - a + 1);
}

/* Level about a position, NaN beyond the end. */
static double level_at(const float *x, size_t t, double at, double fs) {
    const int64_t half = (int64_t)(HALF * fs), i = (int64_t)nearbyint(at);
    return i - half >= 0 && i + half < (int64_t)t ? mean_of(x, i - half, i + half) : NAN;
}

/* Least-squares slope per second over a..b. */
static double slope_of(const float *x, int64_t a, int64_t b, double fs) {
    const double n = (double)(b - a + 1), centre = 0.5 * (double)(a + b);
    double xy = 0.0;
    for (int64_t i = a; i <= b; i++) xy += ((double)i - centre) * x[i];
    return fs * xy / (n * (n * n - 1.0) / 12.0);
}

static void measure_qrs(const float *x, int64_t on, int64_t off, double base, double *out) {
    int64_t top = on, low = on;
    for (int64_t i = on; i <= off; i++) {
        top = x[i] > x[top] ? i : top;
        low = x[i] < x[low] ? i : low;
    }
    const double least = TRACE * ((double)x[top] - x[low]);
    double area = 0.0;
    for (int64_t i = on; i < off; i++) area += 0.5 * ((double)x[i] + x[i + 1]) - base;
    out[EK_MEASURE_QRS_AREA] = area;
    if (!(x[top] - base > least)) { /* QS: one deflection, downward */
        if (base - x[low] > least) out[EK_MEASURE_Q] = x[low] - base;
        return;
    }
    out[EK_MEASURE_R] = x[top] - base;
    double q = 0.0, s = 0.0;
    for (int64_t i = on; i < top; i++) q = x[i] - base < q ? x[i] - base : q;
    for (int64_t i = top; i <= off; i++) s = x[i] - base < s ? x[i] - base : s;
    if (-q > least) out[EK_MEASURE_Q] = q;
    if (-s > least) out[EK_MEASURE_S] = s;
}

static void measure(const float *x, size_t t, double fs, const int64_t *p, double *out) {
    for (int k = 0; k < EK_MEASURE_COUNT; k++) out[k] = NAN;
    if (p[0] >= 0) { /* P stands on the line through its bounds */
        const double share = (double)(p[1] - p[0]) / (double)(p[2] - p[0]);
        out[EK_MEASURE_P] = x[p[1]] - (x[p[0]] + share * ((double)x[p[2]] - x[p[0]]));
    }
    if (p[3] < 0) return;
    int64_t from = p[3] - (int64_t)(BASE * fs);
    from = from > p[2] ? from : p[2]; /* not into P; -1 where there is none */
    from = from < 0 ? 0 : from < p[3] ? from : p[3];
    const double base = mean_of(x, from, p[3]);
    measure_qrs(x, p[3], p[5], base, out);
    out[EK_MEASURE_QRS_AREA] /= fs;
    out[EK_MEASURE_J] = level_at(x, t, (double)p[5], fs) - base;
    out[EK_MEASURE_J60] = level_at(x, t, (double)p[5] + 0.06 * fs, fs) - base;
    out[EK_MEASURE_J80] = level_at(x, t, (double)p[5] + 0.08 * fs, fs) - base;
    const int64_t end = p[5] + (int64_t)nearbyint(ST_END * fs);
    if (end < (int64_t)t && end > p[5]) out[EK_MEASURE_SLOPE] = slope_of(x, p[5], end, fs);
    if (p[6] >= 0) {
        out[EK_MEASURE_T] = x[p[7]] - base;
        double area = 0.0;
        for (int64_t i = p[6]; i < p[8]; i++) area += 0.5 * ((double)x[i] + x[i + 1]) - base;
        out[EK_MEASURE_T_AREA] = area / fs;
    }
    if (p[0] >= 0) {
        double area = 0.0;
        const double line = 0.5 * ((double)x[p[0]] + x[p[2]]);
        for (int64_t i = p[0]; i < p[2]; i++) area += 0.5 * ((double)x[i] + x[i + 1]) - line;
        out[EK_MEASURE_P_AREA] = area / fs;
    }
}

typedef struct {
    const float *x;
    size_t lead, t;
    double fs;
    const int64_t *points;
    double *out;
} job;

static ek_status beats(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const job *j = ctx;
    (void)tmp;
    for (size_t b = begin; b < end; b++)
        for (size_t l = 0; l < j->lead; l++)
            measure(j->x + l * j->t, j->t, j->fs,
                    j->points + (b * (j->lead + 1) + l) * EK_DELINEATE_POINTS,
                    j->out + (b * j->lead + l) * EK_MEASURE_COUNT);
    return EK_OK;
}

ek_status ek_dsp_measure_f32(const float *x, size_t lead, size_t t, double fs,
                             const int64_t *points, size_t count, double *out) {
    for (size_t i = 0; i < count * (lead + 1) * EK_DELINEATE_POINTS; i++) {
        const int64_t *wave = points + i / 3 * 3;
        const int absent = wave[0] < 0 && wave[1] < 0 && wave[2] < 0;
        if (!absent &&
            !(wave[0] >= 0 && wave[0] < wave[1] && wave[1] < wave[2] && wave[2] < (int64_t)t))
            return EK_EVALUE;
    }
    job j = {x, lead, t, fs, points, out};
    return ek_parallel_for(count, 64, beats, &j);
}
