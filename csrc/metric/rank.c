/* Figures that need the order of the scores alone, each one pass over it. */
#include "ek_metric.h"
#include <math.h>

typedef struct {
    const uint32_t *order;
    size_t n;
    double *out, *phi;
} rank_job;

static ek_status auroc_classes(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rank_job *j = ctx;
    (void)tmp;
    for (size_t k = begin; k < end; k++) {
        const uint32_t *order = j->order + k * j->n;
        uint64_t twice = 0, below = 0, positive = 0, p = 0, q = 0; /* p, q: in this group */
        for (size_t i = 0; i < j->n; i++) {
            if (order[i] & EK_ORDER_POSITIVE)
                p++;
            else
                q++;
            if (order[i] & EK_ORDER_LAST) {
                twice += p * (2 * below + q);
                below += q;
                positive += p;
                p = q = 0;
            }
        }
        j->out[k] =
            positive && below ? (double)twice / (2.0 * (double)positive * (double)below) : NAN;
    }
    return EK_OK;
}

ek_status ek_metric_auroc(const uint32_t *order, size_t n, size_t c, double *out) {
    rank_job j = {order, n, out, NULL};
    return ek_parallel_for(c, 1 + 65536 / (n + 1), auroc_classes, &j);
}

static ek_status precision_classes(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rank_job *j = ctx;
    (void)tmp;
    for (size_t k = begin; k < end; k++) {
        const uint32_t *order = j->order + k * j->n;
        uint64_t seen = 0, hit = 0, p = 0;
        double sum = 0.0;
        for (size_t i = j->n; i-- > 0;) {
            seen++;
            p += (order[i] & EK_ORDER_POSITIVE) != 0;
            if (i == 0 || order[i - 1] & EK_ORDER_LAST) { /* the next one down scores less */
                hit += p;
                if (p) sum += (double)p * (double)hit / (double)seen;
                p = 0;
            }
        }
        j->out[k] = hit ? sum / (double)hit : NAN;
    }
    return EK_OK;
}

ek_status ek_metric_average_precision(const uint32_t *order, size_t n, size_t c, double *out) {
    rank_job j = {order, n, out, NULL};
    return ek_parallel_for(c, 1 + 65536 / (n + 1), precision_classes, &j);
}

/* Share of the other label below (for a positive) or above (for a negative), ties half. */
static void influence(const uint32_t *order, size_t n, double *area, double *phi) {
    size_t positive = 0;
    for (size_t i = 0; i < n; i++) positive += (order[i] & EK_ORDER_POSITIVE) != 0;
    const size_t negative = n - positive;
    if (positive < 2 || negative < 2) {
        for (size_t i = 0; i < n; i++) phi[i] = NAN;
        *area = NAN;
        return;
    }
    const double n1 = (double)positive, n0 = (double)negative;
    uint64_t twice = 0, below = 0, under = 0; /* negatives and positives in lower groups */
    for (size_t i = 0, first = 0; i < n; i++) {
        if (!(order[i] & EK_ORDER_LAST)) continue;
        uint64_t p = 0;
        for (size_t g = first; g <= i; g++) p += (order[g] & EK_ORDER_POSITIVE) != 0;
        const uint64_t q = i + 1 - first - p;
        const double of_positive = (double)(2 * below + q) / (2.0 * n0);
        const double of_negative = (double)(2 * (positive - under) - p) / (2.0 * n1);
        for (size_t g = first; g <= i; g++)
            phi[order[g] & EK_ORDER_ROW] = order[g] & EK_ORDER_POSITIVE ? of_positive : of_negative;
        twice += p * (2 * below + q);
        below += q;
        under += p;
        first = i + 1;
    }
    *area = (double)twice / (2.0 * n1 * n0);
    const double weight1 = 1.0 / sqrt(n1 * (n1 - 1.0)), weight0 = 1.0 / sqrt(n0 * (n0 - 1.0));
    for (size_t i = 0; i < n; i++) {
        const size_t row = order[i] & EK_ORDER_ROW;
        phi[row] = (phi[row] - *area) * (order[i] & EK_ORDER_POSITIVE ? weight1 : weight0);
    }
}

static ek_status delong_classes(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rank_job *j = ctx;
    (void)tmp;
    for (size_t k = begin; k < end; k++)
        influence(j->order + k * j->n, j->n, j->out + k, j->phi + k * j->n);
    return EK_OK;
}

ek_status ek_metric_delong(const uint32_t *order, size_t n, size_t c, double *area, double *phi) {
    rank_job j = {order, n, area, phi};
    return ek_parallel_for(c, 1 + 16384 / (n + 1), delong_classes, &j);
}
