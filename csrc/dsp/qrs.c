/* R peaks. The envelope's local maxima are candidates; the beats are the subset with the best total
 * score, found exactly by dynamic programming: a candidate scores by its strength against the local
 * level (in octaves over a threshold), an interval costs where it is much shorter or longer than
 * the local rhythm. That makes refractory time, T-wave rejection and search-back one rule. Level
 * and rhythm are taken from the beats found and the search is repeated. */
#include "ek_dsp.h"
#include "qrs.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The middle of a plateau on MIT-BIH DS1 (first lead and both fused), by benchmarks/
 * _rpeaks_search.py, which also counts what such a search is worth on records it has not seen. */
static const qrs_params PARAMS = {
    .centre = 14.2,
    .sigma = 0.0291,
    .level_quantile = 0.457,
    .fuse_power = 3.0,
    .threshold = 0.33,
    .cap_low = 3.9,
    .cap_high = 3.1,
    .refractory = 0.2,
    .early = 0.59,
    .early_cost = 2.9,
    .early_limit = 0.49,
    .late = 1.43,
    .late_cost = 1.73,
    .floor = 0.148,
    .t_wave = 0.37,
    .t_ratio = 0.49,
    .t_cost = 1.17,
    .fuse_most = 1.44,
    .fuse_clean = 0.105,
};

enum { PASSES = 4, NEIGHBOURS = 8 };

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Local maxima of e that nothing within the separation exceeds. */
static size_t find_candidates(const float *e, size_t ty, size_t apart, size_t *at) {
    size_t n = 0;
    for (size_t i = 1; i + 1 < ty; i++) {
        if (!(e[i] > e[i - 1] && e[i] >= e[i + 1])) continue;
        const size_t lo = i > apart ? i - apart : 0, hi = i + apart < ty ? i + apart : ty - 1;
        int best = 1;
        for (size_t k = lo; best && k < i; k++) best = e[k] < e[i];
        for (size_t k = i + 1; best && k <= hi; k++) best = e[k] <= e[i];
        if (best) at[n++] = i;
    }
    return n;
}

enum { LATE_MOST = 3 }; /* missing RRs that a gap costs at most */

/* What an interval without a beat costs, within the record and at its ends alike. */
static double gap_cost(const qrs_params *p, double d, double rr) {
    const double missing = d / rr - p->late;
    return missing <= 0.0 ? 0.0 : p->late_cost * fmin(missing, LATE_MOST);
}

/* One pass: chosen (ascending indices of candidates) from strength[i]/level[i] and rhythm[i]
 * (samples). */
static size_t choose(const size_t *at, const float *strength, const double *level,
                     const double *rhythm, size_t n, size_t ty, const qrs_params *p, double *best,
                     ptrdiff_t *from, size_t *chosen) {
    const double refractory = p->refractory * EK_QRS_RATE, wave = p->t_wave * EK_QRS_RATE;
    size_t oldest = 0;      /* candidates before this one are further than any costed interval */
    double far = -INFINITY; /* best total among those */
    ptrdiff_t far_from = -1, last = -1;
    double top = -gap_cost(p, (double)ty, rhythm[0]); /* no beat at all */
    for (size_t i = 0; i < n; i++) {
        const double rr = rhythm[i], early = fmin(p->early * rr, p->early_limit * EK_QRS_RATE);
        while (oldest < i && (double)(at[i] - at[oldest]) > rr * (p->late + LATE_MOST)) {
            if (best[oldest] > far) {
                far = best[oldest];
                far_from = (ptrdiff_t)oldest;
            }
            oldest++;
        }
        double total = -gap_cost(p, (double)at[i], rr);
        from[i] = -1;
        if (far - p->late_cost * LATE_MOST > total) {
            total = far - p->late_cost * LATE_MOST;
            from[i] = far_from;
        }
        for (size_t j = i; j-- > oldest;) {
            const double d = (double)(at[i] - at[j]);
            if (d < refractory) continue;
            double cost = gap_cost(p, d, rr);
            if (d < early) cost += p->early_cost * (1.0 - d / early);
            if (d < wave && strength[i] < p->t_ratio * strength[j]) cost += p->t_cost;
            if (best[j] - cost > total) {
                total = best[j] - cost;
                from[i] = (ptrdiff_t)j;
            }
        }
        const double score = log2(strength[i] / (p->threshold * level[i]));
        best[i] = total + fmin(fmax(score, -p->cap_low), p->cap_high);
        if (best[i] - gap_cost(p, (double)(ty - at[i]), rr) > top) {
            top = best[i] - gap_cost(p, (double)(ty - at[i]), rr);
            last = (ptrdiff_t)i;
        }
    }
    size_t count = 0;
    for (ptrdiff_t i = last; i >= 0; i = from[i]) chosen[count++] = (size_t)i;
    for (size_t a = 0; a < count / 2; a++) {
        const size_t swap = chosen[a];
        chosen[a] = chosen[count - 1 - a];
        chosen[count - 1 - a] = swap;
    }
    return count;
}

/* Level and rhythm at each candidate: medians over the beats chosen around it. */
static void relearn(const size_t *at, const float *strength, size_t n, const size_t *chosen,
                    size_t count, const qrs_params *p, double *level, double *rhythm) {
    double all = 0.0, window[2 * NEIGHBOURS + 1];
    if (count < 2) return;
    for (size_t b = 0; b < count; b++) all += log(strength[chosen[b]]);
    all = exp(all / (double)count);
    size_t b = 0;
    for (size_t i = 0; i < n; i++) {
        while (b + 1 < count && at[chosen[b + 1]] <= at[i]) b++;
        const size_t lo = b > NEIGHBOURS ? b - NEIGHBOURS : 0,
                     hi = b + NEIGHBOURS + 1 < count ? b + NEIGHBOURS + 1 : count;
        size_t m = 0;
        for (size_t k = lo; k < hi; k++) window[m++] = strength[chosen[k]];
        qsort(window, m, sizeof *window, ascending);
        level[i] =
            fmax(window[(size_t)(p->level_quantile * (double)(m - 1) + 0.5)], p->floor * all);
        m = 0;
        for (size_t k = lo; k + 1 < hi; k++)
            window[m++] = (double)(at[chosen[k + 1]] - at[chosen[k]]);
        qsort(window, m, sizeof *window, ascending);
        rhythm[i] = fmin(fmax(window[m / 2], 0.3 * EK_QRS_RATE), 2.0 * EK_QRS_RATE);
    }
}

/* The sample within 80 ms of the envelope's peak where the leads together are furthest from their
 * mean there. */
static size_t place(const float *x, size_t lead, size_t t, double fs, const float *gain,
                    double centre, double *work) {
    const double reach = 0.08 * fs;
    const size_t lo = centre > reach ? (size_t)(centre - reach) : 0;
    const size_t hi = (size_t)fmin(centre + reach, (double)(t - 1));
    memset(work, 0, (hi - lo + 1) * sizeof *work);
    for (size_t l = 0; l < lead; l++) {
        const float *row = x + l * t;
        double mean = 0.0;
        size_t n = 0;
        for (size_t i = lo; i <= hi; i++)
            if (isfinite(row[i])) {
                mean += row[i];
                n++;
            }
        if (n == 0) continue;
        mean /= (double)n;
        for (size_t i = lo; i <= hi; i++)
            if (isfinite(row[i])) work[i - lo] += gain[l] * fabs(row[i] - mean);
    }
    size_t best = lo;
    for (size_t i = lo; i <= hi; i++)
        if (work[i - lo] > work[best - lo]) best = i;
    return best;
}

static ek_status detect(const float *x, size_t lead, size_t t, double fs, const qrs_params *p,
                        int64_t *peaks, size_t *count, ek_arena *tmp) {
    const size_t ty = qrs_length(t, fs), blocks = qrs_blocks(ty), room = ty / 2 + 1;
    float *e = ek_arena_f32(tmp, ty), *gain = ek_arena_f32(tmp, lead),
          *strength = ek_arena_f32(tmp, room);
    float *block = ek_arena_f32(tmp, 2 * blocks), *start = ek_arena_f32(tmp, ty),
          *work = ek_arena_f32(tmp, 2 * blocks + 2 * QRS_LEVEL_REACH + 1);
    size_t *at = ek_arena_alloc(tmp, room, sizeof *at),
           *chosen = ek_arena_alloc(tmp, room, sizeof *chosen);
    *count = 0;
    if (!e || !gain || !strength || !block || !start || !work || !at || !chosen) return EK_ENOMEM;
    ek_status st = qrs_fused_envelope(x, lead, t, fs, p, e, gain, tmp);
    if (st != EK_OK) return st;
    const size_t n = find_candidates(e, ty, EK_QRS_RATE / 10, at);
    if (n == 0) return EK_OK;
    double *level = ek_arena_f64(tmp, n), *rhythm = ek_arena_f64(tmp, n),
           *best = ek_arena_f64(tmp, n);
    double *around = ek_arena_f64(tmp, (size_t)(0.2 * fs) + 4);
    ptrdiff_t *from = ek_arena_alloc(tmp, n, sizeof *from);
    if (!level || !rhythm || !best || !around || !from) return EK_ENOMEM;
    qrs_levels(e, ty, p, block, block + blocks, work);
    qrs_spread(block, ty, start);
    for (size_t i = 0; i < n; i++) {
        strength[i] = e[at[i]];
        level[i] = start[at[i]];
        rhythm[i] = 0.8 * EK_QRS_RATE;
    }
    size_t beats = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        if ((st = ek_poll()) != EK_OK) return st;
        beats = choose(at, strength, level, rhythm, n, ty, p, best, from, chosen);
        relearn(at, strength, n, chosen, beats, p, level, rhythm);
    }
    for (size_t b = 0; b < beats; b++)
        peaks[b] =
            (int64_t)place(x, lead, t, fs, gain, (double)at[chosen[b]] * fs / EK_QRS_RATE, around);
    *count = beats;
    return EK_OK;
}

size_t ek_dsp_rpeaks_room(size_t t, double fs) {
    return t == 0
               ? 0
               : qrs_length(t, fs) / (EK_QRS_RATE / 10) + 2; /* beats are candidates, 0.1 s apart */
}

size_t ek_dsp_rpeaks_constants(double *out) {
    if (out != NULL) memcpy(out, &PARAMS, sizeof PARAMS);
    return sizeof PARAMS / sizeof(double);
}

ek_status ek_dsp_rpeaks_f32(const float *x, size_t lead, size_t t, double fs,
                            const double *constants, int64_t *peaks, size_t *count) {
    qrs_params p = PARAMS;
    *count = 0;
    if (constants != NULL) memcpy(&p, constants, sizeof p);
    if (!(fs >= EK_RPEAKS_FS_MIN && fs <= EK_RPEAKS_FS_MAX)) return EK_EVALUE;
    if (lead == 0 || (double)t < 0.5 * fs) return EK_OK;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    const ek_status st = detect(x, lead, t, fs, &p, peaks, count, tmp);
    ek_arena_return(tmp);
    return st;
}
