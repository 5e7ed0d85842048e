/* Bootstrap of rank figures: the scores are ordered once, a resample is a count per record, and 64
 * resamples pass over the order together. Counts are bytes where they fit, else 32-bit. */
#include "ek_metric.h"
#include <math.h>
#include <string.h>

enum { L = EK_BOOT_LANES };

void ek_metric_boot_u8_ref(const uint32_t *order, size_t n, const uint8_t *count, uint32_t *twice_u,
                           uint32_t *positives, uint32_t *negatives) {
    for (size_t l = 0; l < L; l++) {
        uint32_t twice = 0, below = 0, positive = 0, p = 0, q = 0;
        for (size_t i = 0; i < n; i++) {
            const uint32_t x = count[(order[i] & EK_ORDER_ROW) * L + l];
            if (order[i] & EK_ORDER_POSITIVE)
                p += x;
            else
                q += x;
            if (order[i] & EK_ORDER_LAST) {
                twice += p * (2 * below + q);
                below += q;
                positive += p;
                p = q = 0;
            }
        }
        twice_u[l] = twice;
        positives[l] = positive;
        negatives[l] = below;
    }
}

/* Any counts: sums of 64 bits. */
static void area_wide(const uint32_t *order, size_t n, const uint32_t *count, double *out) {
    uint64_t twice[L] = {0}, below[L] = {0}, positive[L] = {0}, p[L] = {0}, q[L] = {0};
    for (size_t i = 0; i < n; i++) {
        const uint32_t *x = count + (order[i] & EK_ORDER_ROW) * L;
        uint64_t *into = order[i] & EK_ORDER_POSITIVE ? p : q;
        for (size_t l = 0; l < L; l++) into[l] += x[l];
        if (!(order[i] & EK_ORDER_LAST)) continue;
        for (size_t l = 0; l < L; l++) {
            twice[l] += p[l] * (2 * below[l] + q[l]);
            below[l] += q[l];
            positive[l] += p[l];
            p[l] = q[l] = 0;
        }
    }
    for (size_t l = 0; l < L; l++)
        out[l] = positive[l] && below[l]
                     ? (double)twice[l] / (2.0 * (double)positive[l] * (double)below[l])
                     : NAN;
}

static void precision_wide(const uint32_t *order, size_t n, const uint32_t *count, double *out) {
    double sum[L] = {0}, hit[L] = {0}, seen[L] = {0}, p[L] = {0};
    int positive = 0; /* in this group of equal scores */
    for (size_t i = n; i-- > 0;) {
        const uint32_t *x = count + (order[i] & EK_ORDER_ROW) * L;
        for (size_t l = 0; l < L; l++) seen[l] += x[l];
        if (order[i] & EK_ORDER_POSITIVE) {
            positive = 1;
            for (size_t l = 0; l < L; l++) p[l] += x[l];
        }
        if (!positive || (i > 0 && !(order[i - 1] & EK_ORDER_LAST))) continue;
        for (size_t l = 0; l < L; l++) {
            hit[l] += p[l];
            sum[l] += p[l] * hit[l] / (seen[l] > 0.0 ? seen[l] : 1.0);
            p[l] = 0.0;
        }
        positive = 0;
    }
    for (size_t l = 0; l < L; l++) out[l] = hit[l] > 0.0 ? sum[l] / hit[l] : NAN;
}

typedef struct {
    ek_metric_figure figure;
    const uint32_t *order; /* of units */
    const int32_t *index;
    const uint32_t *size; /* records of a unit; NULL: one each */
    size_t n, c, b, m, units;
    ek_metric_boot_u8_fn bytes;
    double *out;
} boot_job;

/* Counts of the draws first..first+lanes-1; fits: whether bytes and 16-bit sums are enough. */
static ek_status count_draws(const boot_job *j, size_t first, size_t lanes, uint32_t *count,
                             int *fits) {
    memset(count, 0, j->units * L * sizeof *count);
    *fits = 1;
    for (size_t l = 0; l < lanes; l++) {
        const int32_t *drawn = j->index + (first + l) * j->m;
        uint64_t weight = 0;
        for (size_t k = 0; k < j->m; k++) {
            if (drawn[k] < 0 || (size_t)drawn[k] >= j->units) return EK_EVALUE;
            weight += j->size ? j->size[drawn[k]] : 1;
            if (++count[(size_t)drawn[k] * L + l] > 255) *fits = 0;
        }
        if (weight > 65535) *fits = 0;
    }
    return EK_OK;
}

static ek_status count_bytes(const boot_job *j, size_t first, size_t lanes, uint8_t *count,
                             int *fits) {
    memset(count, 0, j->units * L);
    *fits = 1;
    for (size_t l = 0; l < lanes; l++) {
        const int32_t *drawn = j->index + (first + l) * j->m;
        uint64_t weight = 0;
        for (size_t k = 0; k < j->m; k++) {
            if (drawn[k] < 0 || (size_t)drawn[k] >= j->units) return EK_EVALUE;
            weight += j->size ? j->size[drawn[k]] : 1;
            if (++count[(size_t)drawn[k] * L + l] == 0) *fits = 0;
        }
        if (weight > 65535) *fits = 0;
    }
    return EK_OK;
}

static ek_status boot_block(const boot_job *j, size_t block, ek_arena *tmp) {
    const size_t first = block * L, lanes = j->b - first < L ? j->b - first : L;
    double lane[L];
    int fits = 0;
    ek_status st;
    if (j->figure == EK_FIGURE_AUROC) {
        uint8_t *count = ek_arena_alloc(tmp, j->units, L);
        if (count == NULL) return EK_ENOMEM;
        if ((st = count_bytes(j, first, lanes, count, &fits)) != EK_OK) return st;
        for (size_t k = 0; k < j->c && fits; k++) {
            uint32_t twice[L], positive[L], negative[L];
            j->bytes(j->order + k * j->n, j->n, count, twice, positive, negative);
            for (size_t l = 0; l < lanes; l++)
                j->out[(first + l) * j->c + k] =
                    positive[l] && negative[l]
                        ? (double)twice[l] / (2.0 * (double)positive[l] * (double)negative[l])
                        : NAN;
        }
        if (fits) return EK_OK;
    }
    uint32_t *count = ek_arena_alloc(tmp, j->units, L * sizeof *count);
    if (count == NULL) return EK_ENOMEM;
    if ((st = count_draws(j, first, lanes, count, &fits)) != EK_OK) return st;
    for (size_t k = 0; k < j->c; k++) {
        const uint32_t *order = j->order + k * j->n;
        (j->figure == EK_FIGURE_AUROC ? area_wide : precision_wide)(order, j->n, count, lane);
        for (size_t l = 0; l < lanes; l++) j->out[(first + l) * j->c + k] = lane[l];
    }
    return EK_OK;
}

static ek_status boot_blocks(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    for (size_t block = begin; block < end; block++) {
        const size_t mark = ek_arena_mark(tmp);
        const ek_status st = boot_block(ctx, block, tmp);
        ek_arena_reset(tmp, mark);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

ek_status ek_metric_resample(ek_metric_figure figure, const uint32_t *order, size_t n, size_t c,
                             const int32_t *index, size_t b, size_t m, const int32_t *member,
                             size_t units, double *out) {
    static const struct {
        unsigned need;
        ek_metric_boot_u8_fn fn;
    } BOOT[] = {
        {EK_CPU_AVX512, ek_metric_boot_u8_avx512},
        {EK_CPU_AVX2,   ek_metric_boot_u8_avx2  },
        {0,             ek_metric_boot_u8_ref   },
    };
    if (units > EK_ORDER_ROW || (member == NULL && units != n)) return EK_ESHAPE;
    boot_job j = {figure, order, index, NULL, n, c, b, m, units, EK_PICK(BOOT), out};
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    ek_status st = EK_OK;
    if (member != NULL) { /* name units in the order itself */
        uint32_t *of_units = ek_arena_alloc(tmp, n * c + 1, sizeof *of_units);
        uint32_t *size = ek_arena_alloc(tmp, units + 1, sizeof *size);
        if (of_units == NULL || size == NULL) st = EK_ENOMEM;
        if (st == EK_OK) memset(size, 0, units * sizeof *size);
        for (size_t i = 0; i < n && st == EK_OK; i++) {
            if (member[i] < 0 || (size_t)member[i] >= units)
                st = EK_EVALUE;
            else
                size[member[i]]++;
        }
        for (size_t i = 0; i < n * c && st == EK_OK; i++)
            of_units[i] = (order[i] & ~EK_ORDER_ROW) | (uint32_t)member[order[i] & EK_ORDER_ROW];
        j.order = of_units;
        j.size = size;
    }
    if (st == EK_OK) st = ek_parallel_for((b + L - 1) / L, 1, boot_blocks, &j);
    ek_arena_return(tmp);
    return st;
}
