/* Median beats. */
#include "ek_dsp.h"
#include <math.h>

typedef struct {
    const float *x;
    size_t t, count, before, length;
    const int64_t *beats;
    float *out;
} job;

/* The middle of v (n), or the mean of the middle two; spoils v. NaN must have been left out. */
static float median_of(float *v, size_t n) {
    if (n == 0) return NAN;
    float result[2];
    const size_t want[2] = {(n - 1) / 2, n / 2};
    for (int k = 0; k < 2; k++) { /* Hoare's selection */
        ptrdiff_t lo = 0, hi = (ptrdiff_t)n - 1;
        const ptrdiff_t at = (ptrdiff_t)want[k];
        while (lo < hi) {
            const float pivot = v[lo + (hi - lo) / 2];
            ptrdiff_t i = lo, j = hi;
            while (i <= j) {
                while (v[i] < pivot) i++;
                while (v[j] > pivot) j--;
                if (i <= j) {
                    const float swap = v[i];
                    v[i++] = v[j];
                    v[j--] = swap;
                }
            }
            if (at <= j)
                hi = j;
            else if (at >= i)
                lo = i;
            else
                break;
        }
        result[k] = v[at];
    }
    return 0.5f * (result[0] + result[1]);
}

static ek_status rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const job *j = ctx;
    const size_t mark = ek_arena_mark(tmp);
    float *v = ek_arena_f32(tmp, j->count + 1);
    if (v == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++) {
        const size_t lead = i / j->length, s = i % j->length;
        const float *row = j->x + lead * j->t;
        size_t n = 0;
        for (size_t b = 0; b < j->count; b++) {
            const int64_t at = j->beats[b] - (int64_t)j->before + (int64_t)s;
            if (at >= 0 && at < (int64_t)j->t && isfinite(row[at])) v[n++] = row[at];
        }
        j->out[i] = median_of(v, n);
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_dsp_median_beat_f32(const float *x, size_t lead, size_t t, const int64_t *beats,
                                 size_t count, size_t before, size_t length, float *out) {
    job j = {x, t, count, before, length, beats, out};
    return ek_parallel_for(lead * length, 64, rows, &j);
}

/* Correlation of a window of x (t) from `from` on with the template (length); NaN where either is
 * constant, or the window leaves the row or holds a sample that is not finite. */
static double similarity(const float *x, size_t t, int64_t from, const float *mid, size_t length) {
    if (from < 0 || from + (int64_t)length > (int64_t)t) return NAN;
    double sx = 0.0, sy = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
    const float *w = x + from;
    for (size_t i = 0; i < length; i++) {
        if (!isfinite(w[i]) || !isfinite(mid[i])) return NAN;
        sx += w[i];
        sy += mid[i];
    }
    sx /= (double)length;
    sy /= (double)length;
    for (size_t i = 0; i < length; i++) {
        const double a = w[i] - sx, b = mid[i] - sy;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : NAN;
}

typedef struct {
    const float *x, *mid;
    size_t lead, t, before, length;
    ptrdiff_t reach;
    int64_t *beats;
    double *out;
} align_job;

static ek_status align(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const align_job *j = ctx;
    (void)tmp;
    for (size_t b = begin; b < end; b++) {
        double most = -2.0;
        ptrdiff_t best = 0;
        for (ptrdiff_t step = 0; step <= 2 * j->reach; step++) { /* 0, 1, -1, 2, -2 ... */
            const ptrdiff_t shift = step % 2 ? (step + 1) / 2 : -(step / 2);
            double sum = 0.0;
            size_t n = 0;
            for (size_t l = 0; l < j->lead; l++) {
                const double c =
                    similarity(j->x + l * j->t, j->t, j->beats[b] + shift - (int64_t)j->before,
                               j->mid + l * j->length, j->length);
                if (isnan(c)) continue;
                sum += c;
                n++;
            }
            if (n > 0 && sum / (double)n > most) {
                most = sum / (double)n;
                best = shift;
            }
        }
        j->beats[b] += best;
        j->out[b] = most < -1.5 ? NAN : most;
    }
    return EK_OK;
}

ek_status ek_dsp_align_beats_f32(const float *x, size_t lead, size_t t, const float *mid,
                                 size_t before, size_t length, size_t reach, int64_t *beats,
                                 size_t count, double *out) {
    align_job j = {x, mid, lead, t, before, length, (ptrdiff_t)reach, beats, out};
    return ek_parallel_for(count, 4, align, &j);
}
