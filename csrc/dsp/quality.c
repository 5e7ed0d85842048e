/* Signal quality: one number per kind of trouble and lead, each with a unit and a meaning
 * (ek_dsp.h). */
#include "ek_dsp.h"
#include "qrs.h"
#include <math.h>
#include <stdlib.h>

enum {
    BASE_RATE = 50,     /* Hz: the baseline is looked at in blocks of 20 ms */
    BASE_SIZE = 31,     /* blocks: 0.62 s running median */
    STEP_BLOCKS = 2,    /* a step rises within 40 ms */
    MOST_SORTED = 5000, /* values that a quantile is taken of */
    MOST_SECONDS = 600, /* seconds that the mains are looked for in, spread over the record */
};

static const double FLAT_MV = 0.005, FLAT_SECONDS = 0.5;
static const double RAIL_SECONDS = 0.016, RAIL_RANGE_MV = 0.05;
static const double STEP_MV = 0.3, STEP_APART = 0.3;
static const double MUSCLE_HZ = 35.0, MUSCLE_SIGMA = 0.02, MUSCLE_FS = 90.0;
static const double MAINS_SIDE_HZ = 5.0;

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double sorted_quantile(double *v, size_t n, double q) {
    qsort(v, n, sizeof *v, ascending);
    return v[(size_t)(q * (double)(n - 1) + 0.5)];
}

/* Share of samples in stretches of at least FLAT_SECONDS that stay within FLAT_MV. */
static double flat_share(const float *x, size_t t, double fs) {
    const size_t least = (size_t)(FLAT_SECONDS * fs);
    size_t start = 0, flat = 0;
    float lo = 0.0f, hi = 0.0f;
    for (size_t i = 0; i <= t; i++) {
        const int usable = i < t && isfinite(x[i]);
        if (usable && i > start) {
            const float l = x[i] < lo ? x[i] : lo, h = x[i] > hi ? x[i] : hi;
            if ((double)h - (double)l <= FLAT_MV) {
                lo = l;
                hi = h;
                continue;
            }
        }
        if (i - start >= least && i > start) flat += i - start;
        start = usable ? i : i + 1;
        if (usable) lo = hi = x[i];
    }
    return (double)flat / (double)t;
}

/* Share of samples in runs of one value, at least RAIL_SECONDS and 3 samples long, at the lead's
 * largest or smallest. */
static double saturated_share(const float *x, size_t t, double fs) {
    float lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < t; i++) {
        if (!isfinite(x[i])) continue;
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    if (!((double)hi - (double)lo > RAIL_RANGE_MV)) return 0.0;
    const size_t least = RAIL_SECONDS * fs > 3.0 ? (size_t)ceil(RAIL_SECONDS * fs) : 3;
    size_t run = 0, railed = 0;
    for (size_t i = 0; i <= t; i++) {
        if (i < t && run > 0 && x[i] == x[i - 1]) {
            run++;
            continue;
        }
        railed += run >= least ? run : 0;
        run = i < t && (x[i] == lo || x[i] == hi);
    }
    return (double)railed / (double)t;
}

/* Jumps of the running median, and its 5-95 % range, from the bridged signal. */
static ek_status baseline(const double *x, size_t t, double fs, double *steps, double *wander,
                          ek_arena *tmp) {
    const size_t n = (size_t)((double)t * BASE_RATE / fs);
    *steps = *wander = NAN;
    if (n < BASE_SIZE) return EK_OK;
    float *block = ek_arena_f32(tmp, n);
    const size_t stride = n / MOST_SORTED + 1;
    double *some = ek_arena_f64(tmp, n / stride + 1);
    if (block == NULL || some == NULL) return EK_ENOMEM;
    for (size_t b = 0; b < n; b++) {
        const size_t lo = b * t / n, hi = (b + 1) * t / n;
        double sum = 0.0;
        for (size_t i = lo; i < hi; i++) sum += x[i];
        block[b] = hi > lo ? (float)(sum / (double)(hi - lo)) : (float)x[lo];
    }
    const ek_status st = ek_dsp_median_f32(block, 1, n, BASE_SIZE, EK_EDGE_REFLECT, block);
    if (st != EK_OK) return st;
    size_t count = 0, m = 0;
    for (size_t b = BASE_SIZE / 2 + STEP_BLOCKS, last = 0; b + BASE_SIZE / 2 < n; b++) {
        if (fabs((double)block[b] - (double)block[b - STEP_BLOCKS]) < STEP_MV) continue;
        if (count == 0 || (double)(b - last) > STEP_APART * BASE_RATE) count++;
        last = b;
    }
    for (size_t b = 0; b < n; b += stride) some[m++] = block[b];
    *steps = (double)count;
    *wander = sorted_quantile(some, m, 0.95) - some[(size_t)(0.05 * (double)(m - 1) + 0.5)];
    return EK_OK;
}

/* Amplitude at f in the windowed x (n), by Goertzel; the window sums to `weight`. */
static double amplitude(const double *x, size_t n, double fs, double f, double weight) {
    const double turn = 2.0 * cos(2.0 * M_PI * f / fs);
    double a = 0.0, b = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double s = x[i] + turn * a - b;
        b = a;
        a = s;
    }
    const double power = a * a + b * b - turn * a * b;
    return 2.0 * sqrt(power > 0.0 ? power : 0.0) / weight;
}

/* The larger of 50 and 60 Hz: median over seconds of the amplitude above the mean of its
 * neighbours. */
static ek_status mains(const double *x, size_t t, double fs, double *level, ek_arena *tmp) {
    static const double HZ[] = {50.0, 60.0};
    const size_t second = (size_t)fs, n = second ? t / second : 0, stride = n / MOST_SECONDS + 1;
    *level = NAN;
    if (n == 0 || HZ[0] + MAINS_SIDE_HZ >= 0.5 * fs) return EK_OK;
    double *v = ek_arena_f64(tmp, n / stride + 1), *hann = ek_arena_f64(tmp, second);
    double *cut = ek_arena_f64(tmp, second), weight = 0.0;
    if (!v || !hann || !cut) return EK_ENOMEM;
    for (size_t i = 0; i < second; i++) {
        hann[i] = 0.5 - 0.5 * cos(2.0 * M_PI * ((double)i + 0.5) / (double)second);
        weight += hann[i];
    }
    for (size_t k = 0; k < 2 && HZ[k] + MAINS_SIDE_HZ < 0.5 * fs; k++) {
        size_t m = 0;
        for (size_t w = 0; w < n; w += stride) {
            for (size_t i = 0; i < second; i++) cut[i] = hann[i] * x[w * second + i];
            const double below = amplitude(cut, second, fs, HZ[k] - MAINS_SIDE_HZ, weight);
            const double above = amplitude(cut, second, fs, HZ[k] + MAINS_SIDE_HZ, weight);
            v[m++] = fmax(0.0, amplitude(cut, second, fs, HZ[k], weight) - 0.5 * (below + above));
        }
        *level = fmax(*level, sorted_quantile(v, m, 0.5)); /* fmax leaves the NaN out */
    }
    return EK_OK;
}

/* Median amplitude of the band around MUSCLE_HZ. */
static ek_status muscle(const double *x, size_t t, double fs, double *level, ek_arena *tmp) {
    *level = NAN;
    if (fs < MUSCLE_FS || (double)t < fs) return EK_OK;
    const size_t ty = qrs_length(t, fs), stride = ty / MOST_SORTED + 1;
    float *y = ek_arena_f32(tmp, ty), *e = ek_arena_f32(tmp, ty),
          *padded = ek_arena_f32(tmp, ty + 2 * QRS_REACH);
    double *total = ek_arena_f64(tmp, t + 1), *some = ek_arena_f64(tmp, ty / stride + 1);
    if (!y || !e || !padded || !total || !some) return EK_ENOMEM;
    qrs_change_rate(x, t, fs / EK_QRS_RATE, y, ty, total);
    qrs_envelope(y, ty, MUSCLE_HZ, MUSCLE_SIGMA, e, padded);
    size_t m = 0;
    for (size_t i = 0; i < ty; i += stride) some[m++] = e[i];
    *level = sorted_quantile(some, m, 0.5);
    return EK_OK;
}

typedef struct {
    const float *x;
    size_t t;
    double fs;
    double *out;
} quality_job;

static ek_status quality_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const quality_job *j = ctx;
    for (size_t l = begin; l < end; l++) {
        const size_t mark = ek_arena_mark(tmp);
        const float *x = j->x + l * j->t;
        double *q = j->out + l * EK_QUALITY_COUNT;
        double *filled = ek_arena_f64(tmp, j->t);
        if (filled == NULL) return EK_ENOMEM;
        const size_t finite = qrs_bridge(x, j->t, filled);
        q[EK_QUALITY_MISSING] = 1.0 - (double)finite / (double)j->t;
        q[EK_QUALITY_FLAT] = flat_share(x, j->t, j->fs);
        q[EK_QUALITY_SATURATED] = saturated_share(x, j->t, j->fs);
        ek_status st =
            baseline(filled, j->t, j->fs, q + EK_QUALITY_STEPS, q + EK_QUALITY_WANDER, tmp);
        if (st == EK_OK) st = muscle(filled, j->t, j->fs, q + EK_QUALITY_MUSCLE, tmp);
        if (st == EK_OK) st = mains(filled, j->t, j->fs, q + EK_QUALITY_MAINS, tmp);
        if (st != EK_OK) return st;
        ek_arena_reset(tmp, mark);
    }
    return EK_OK;
}

ek_status ek_dsp_quality_f32(const float *x, size_t lead, size_t t, double fs, double *out) {
    if (!(fs > 0.0)) return EK_EVALUE;
    if (lead > 0 && t == 0) return EK_ESHAPE;
    quality_job j = {x, t, fs, out};
    return ek_parallel_for(lead, 1, quality_rows, &j);
}
