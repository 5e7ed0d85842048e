/* From samples at any rate to one QRS envelope at EK_QRS_RATE: gaps bridged, rate changed, band
 * energy, leads fused. */
#include "ek_dsp.h"
#include "qrs.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 2 * EK_QRS_RATE }; /* level statistics: one block per 2 s */

/* Sum of the samples before position `at` (a sample covers [s, s + 1)); total (t + 1) are the
 * running sums. */
static double sum_to(const double *total, size_t t, double at) {
    if (at <= 0.0) return 0.0;
    if (at >= (double)t) return total[t];
    const size_t s = (size_t)at;
    return total[s] + (at - (double)s) * (total[s + 1] - total[s]);
}

/* y (ty) = x (t) at EK_QRS_RATE: the mean over one output interval where fs is higher, a cubic
 * where it is lower. */
void qrs_change_rate(const double *x, size_t t, double step, float *y, size_t ty, double *total) {
    if (step > 1.0) {
        total[0] = 0.0;
        for (size_t s = 0; s < t; s++) total[s + 1] = total[s] + x[s];
        for (size_t i = 0; i < ty; i++) {
            double a = (double)i * step + 0.5 - 0.5 * step, b = a + step;
            a = a > 0.0 ? a : 0.0;
            b = b < (double)t ? b : (double)t;
            y[i] = (float)((sum_to(total, t, b) - sum_to(total, t, a)) / (b - a));
        }
        return;
    }
    for (size_t i = 0; i < ty; i++) {
        const double at = (double)i * step;
        const size_t s = (size_t)at < t ? (size_t)at : t - 1;
        const double u = at - (double)s < 1.0 ? at - (double)s : 1.0;
        const double p0 = x[s > 0 ? s - 1 : 0], p1 = x[s];
        const double p2 = x[s + 1 < t ? s + 1 : t - 1], p3 = x[s + 2 < t ? s + 2 : t - 1];
        y[i] =
            (float)(p1 + 0.5 * u *
                             (p2 - p0 +
                              u * (2 * p0 - 5 * p1 + 4 * p2 - p3 + u * (3 * (p1 - p2) + p3 - p0))));
    }
}

/* Centre the row about its first finite sample and bridge what is not finite by straight lines; the
 * ends are held. Returns how many samples are finite. */
size_t qrs_bridge(const float *x, size_t t, double *y) {
    size_t finite = 0, i = 0;
    double origin = 0.0, before = 0.0;
    while (i < t) {
        if (isfinite(x[i])) {
            if (finite++ == 0) origin = (double)x[i];
            before = y[i] = (double)x[i] - origin;
            i++;
            continue;
        }
        size_t next = i + 1;
        while (next < t && !isfinite(x[next])) next++;
        const double after = next == t ? before : finite ? (double)x[next] - origin : 0.0;
        const double slope = finite ? (after - before) / (double)(next - i + 1) : 0.0;
        for (size_t s = i; s < next; s++)
            y[s] = finite ? before + slope * (double)(s - i + 1) : 0.0;
        i = next;
    }
    return finite;
}

/* Gaussian-windowed cosine (without mean) and sine: taps (2 * EK_QRS_REACH + 1) each. */
static void band_taps(double centre, double sigma, float *re, float *im) {
    double sum = 0.0, weight = 0.0, g[QRS_TAPS];
    for (int c = 0; c < QRS_TAPS; c++) {
        const double s = (c - QRS_REACH) / (double)EK_QRS_RATE;
        g[c] = exp(-0.5 * (s / sigma) * (s / sigma));
        sum += g[c] * cos(2 * M_PI * centre * s);
        weight += g[c];
    }
    for (int c = 0; c < QRS_TAPS; c++) {
        const double s = (c - QRS_REACH) / (double)EK_QRS_RATE;
        re[c] = (float)(2.0 * g[c] / weight * (cos(2 * M_PI * centre * s) - sum / weight));
        im[c] = (float)(2.0 * g[c] / weight * sin(2 * M_PI * centre * s));
    }
}

void qrs_band_ref(const float *padded, size_t ty, const float *re, const float *im, float *e) {
    qrs_band(padded, ty, re, im, e);
}

void qrs_envelope(const float *y, size_t ty, double centre, double sigma, float *e, float *padded) {
    static const struct {
        unsigned need;
        qrs_band_fn fn;
    } BAND[] = {
        {EK_CPU_AVX512, qrs_band_avx512},
        {EK_CPU_AVX2,   qrs_band_avx2  },
        {0,             qrs_band_ref   },
    };
    float re[QRS_TAPS], im[QRS_TAPS];
    band_taps(centre, sigma, re, im);
    for (size_t i = 0; i < QRS_REACH; i++) {
        padded[i] = y[0];
        padded[QRS_REACH + ty + i] = y[ty - 1];
    }
    memcpy(padded + QRS_REACH, y, ty * sizeof(float));
    EK_PICK(BAND)(padded, ty, re, im, e);
}

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* q-quantile of v[lo..hi) for a short window. */
static float window_quantile(const float *v, ptrdiff_t lo, ptrdiff_t hi, double q, float *sorted) {
    const size_t n = (size_t)(hi - lo);
    memcpy(sorted, v + lo, n * sizeof(float));
    qsort(sorted, n, sizeof(float), ascending);
    return sorted[(size_t)(q * (double)(n - 1) + 0.5)];
}

/* Level of the QRS (q-quantile of block maxima over `reach` blocks to each side) and of what lies
 * between (median of block medians, approximated by block means without the top), per block. */
void qrs_levels(const float *e, size_t ty, const qrs_params *p, float *level, float *rest,
                float *work) {
    const size_t blocks = qrs_blocks(ty);
    float *top = work, *mean = work + blocks, *sorted = work + 2 * blocks;
    for (size_t b = 0; b < blocks; b++) {
        const size_t lo = b * ty / blocks, hi = (b + 1) * ty / blocks;
        double sum = 0.0;
        float m = 0.0f;
        for (size_t i = lo; i < hi; i++) {
            m = e[i] > m ? e[i] : m;
            sum += e[i];
        }
        top[b] = m;
        mean[b] = (float)(sum / (double)(hi - lo));
    }
    for (size_t b = 0; b < blocks; b++) {
        const ptrdiff_t r = QRS_LEVEL_REACH, lo = (ptrdiff_t)b > r ? (ptrdiff_t)b - r : 0;
        const ptrdiff_t hi =
            (ptrdiff_t)b + r + 1 < (ptrdiff_t)blocks ? (ptrdiff_t)b + r + 1 : (ptrdiff_t)blocks;
        level[b] = window_quantile(top, lo, hi, p->level_quantile, sorted);
        rest[b] = window_quantile(mean, lo, hi, 0.5, sorted);
    }
}

size_t qrs_blocks(size_t ty) {
    return ty < 2 * BLOCK ? 1 : ty / BLOCK;
}

void qrs_spread(const float *level, size_t ty, float *out) {
    const size_t blocks = qrs_blocks(ty);
    const float width = (float)ty / (float)blocks;
    size_t i = 0;
    for (size_t b = 0; b <= blocks; b++) { /* straight lines from block centre to block centre */
        const float centre = ((float)b - 0.5f) * width;
        const size_t end = b == blocks ? ty : (size_t)(centre + width);
        const float from = level[b > 0 ? b - 1 : 0], to = level[b < blocks ? b : blocks - 1];
        for (; i < end; i++) out[i] = from + ((float)i - centre) / width * (to - from);
    }
}

size_t qrs_length(size_t t, double fs) {
    return (size_t)((double)(t - 1) * EK_QRS_RATE / fs) + 1;
}

ek_status qrs_fused_envelope(const float *x, size_t lead, size_t t, double fs, const qrs_params *p,
                             float *fused, float *gain, ek_arena *tmp) {
    const size_t ty = qrs_length(t, fs), blocks = qrs_blocks(ty), mark = ek_arena_mark(tmp);
    double *filled = ek_arena_f64(tmp, t), *total = ek_arena_f64(tmp, t + 1);
    float *y = ek_arena_f32(tmp, ty), *e = ek_arena_f32(tmp, ty),
          *padded = ek_arena_f32(tmp, ty + 2 * QRS_REACH);
    float *weight = ek_arena_f32(tmp, ty), *scale = ek_arena_f32(tmp, ty),
          *share = ek_arena_f32(tmp, ty);
    float *level = ek_arena_f32(tmp, blocks), *rest = ek_arena_f32(tmp, blocks);
    float *work = ek_arena_f32(tmp, 2 * blocks + 2 * QRS_LEVEL_REACH + 1);
    if (!filled || !total || !y || !e || !padded || !weight || !scale || !share || !level ||
        !rest || !work)
        return EK_ENOMEM;
    const float most =
        (float)p->fuse_most; /* an artefact in one lead counts no more than a large beat */
    memset(fused, 0, ty * sizeof(float));
    memset(weight, 0, ty * sizeof(float));
    for (size_t l = 0; l < lead; l++) {
        gain[l] = 0.0f;
        if (qrs_bridge(x + l * t, t, filled) == 0) continue;
        qrs_change_rate(filled, t, fs / EK_QRS_RATE, y, ty, total);
        qrs_envelope(y, ty, p->centre, p->sigma, e, padded);
        if (lead == 1) {
            memcpy(fused, e, ty * sizeof(float));
            gain[0] = 1.0f;
            break;
        }
        qrs_levels(e, ty, p, level, rest, work);
        for (size_t b = 0; b < blocks;
             b++) { /* rest becomes the weight of this lead, level its scale */
            const float ratio = level[b] > 0.0f ? rest[b] / level[b] : 1.0f;
            rest[b] = level[b] > 0.0f
                          ? powf(fmaxf(ratio, (float)p->fuse_clean), -(float)p->fuse_power)
                          : 0.0f;
            gain[l] += level[b] > 0.0f ? rest[b] / level[b] : 0.0f;
            level[b] = level[b] > 0.0f ? 1.0f / level[b] : 0.0f;
        }
        qrs_spread(level, ty, scale);
        qrs_spread(rest, ty, share);
        for (size_t i = 0; i < ty; i++) {
            const float r = e[i] * scale[i];
            fused[i] += share[i] * (r < most ? r : most);
            weight[i] += share[i];
        }
    }
    if (lead > 1)
        for (size_t i = 0; i < ty; i++) fused[i] = weight[i] > 0.0f ? fused[i] / weight[i] : 0.0f;
    ek_arena_reset(tmp, mark);
    return EK_OK;
}
