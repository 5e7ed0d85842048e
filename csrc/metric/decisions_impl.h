/* Figures per record and per bin. FLOAT is the type of the scores, NAME adds its suffix. The work
 * is cut by n alone and partial sums are added in the order of the pieces: the same bits for any
 * thread count. */
typedef struct {
    const uint8_t *y;
    const FLOAT *s;
    size_t n, c, k, grain;
    const double *threshold;
    double *out;     /* per piece */
    int64_t *counts; /* per piece */
} NAME(sweep_job);

static ek_status NAME(sweep_piece)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(sweep_job) *j = ctx;
    const size_t k = j->k, c = j->c;
    const size_t mark = ek_arena_mark(tmp);
    int32_t *called = ek_arena_alloc(tmp, 2 * (k + 1), sizeof *called), *hit = called + k + 1;
    if (called == NULL) return EK_ENOMEM;
    double *sum = j->out + begin / j->grain * (3 * k + 1);
    int64_t *counts = j->counts + begin / j->grain * (c * k * 2);
    for (size_t i = begin; i < end; i++) {
        const uint8_t *y = j->y + i * c;
        const FLOAT *s = j->s + i * c;
        size_t truth = 0;
        memset(called, 0, 2 * (k + 1) * sizeof *called);
        for (size_t at = 0; at < c; at++) {
            if (isnan(s[at])) return EK_EVALUE;
            const size_t under = reached(j->threshold, k, (double)s[at]);
            called[under]++;
            truth += y[at];
            hit[under] += y[at];
            if (under > 0) {
                counts[(at * k + under - 1) * 2] += y[at];
                counts[(at * k + under - 1) * 2 + 1]++;
            }
        }
        for (size_t t = k; t-- > 0;) { /* a score that reaches threshold t+1 reaches t */
            called[t] += called[t + 1];
            hit[t] += hit[t + 1];
            const int32_t here = called[t + 1], right = hit[t + 1]; /* scores >= threshold[t] */
            if (here > 0) {
                sum[3 * t] += (double)right / (double)here;
                sum[3 * t + 1] += 1.0;
            }
            if (truth > 0) sum[3 * t + 2] += (double)right / (double)truth;
        }
        sum[3 * k] += truth > 0;
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status NAME(ek_metric_sweep)(const uint8_t *y, const FLOAT *s, size_t n, size_t c,
                                const double *threshold, size_t k, double *out, int64_t *counts,
                                size_t *labelled) {
    const size_t grain = n / 16 + 1, pieces = (n + grain - 1) / grain; /* 16 sets of sums at most */
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    double *part = ek_arena_f64(tmp, (pieces + 1) * (3 * k + 1));
    int64_t *part_counts = ek_arena_alloc(tmp, pieces + 1, c * k * 2 * sizeof *part_counts);
    ek_status st = part && part_counts ? EK_OK : EK_ENOMEM;
    if (st == EK_OK) {
        memset(part, 0, pieces * (3 * k + 1) * sizeof *part);
        memset(part_counts, 0, pieces * c * k * 2 * sizeof *part_counts);
        NAME(sweep_job) j = {y, s, n, c, k, grain, threshold, part, part_counts};
        st = ek_parallel_for(n, grain, NAME(sweep_piece), &j);
    }
    if (st == EK_OK) {
        double records = 0.0;
        memset(out, 0, 3 * k * sizeof *out);
        memset(counts, 0, c * k * 2 * sizeof *counts);
        for (size_t p = 0; p < pieces; p++) {
            for (size_t v = 0; v < 3 * k; v++) out[v] += part[p * (3 * k + 1) + v];
            records += part[p * (3 * k + 1) + 3 * k];
            for (size_t v = 0; v < c * k * 2; v++) counts[v] += part_counts[p * c * k * 2 + v];
        }
        *labelled = (size_t)records;
        for (size_t at = 0; at < c; at++)
            for (size_t t = k - 1; t-- > 0;)
                for (size_t v = 0; v < 2; v++)
                    counts[(at * k + t) * 2 + v] += counts[(at * k + t + 1) * 2 + v];
    }
    ek_arena_return(tmp);
    return st;
}

typedef struct {
    const uint8_t *y;
    const FLOAT *s;
    size_t n, c, bins;
    double *out, *square;
    DEPTH(fn) depth;
} NAME(record_job);

static ek_status NAME(coverage_piece)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(record_job) *j = ctx;
    (void)tmp;
    const int broken =
        j->depth(j->y + begin * j->c, j->s + begin * j->c, end - begin, j->c, j->out + 3 * begin);
    return broken ? EK_EVALUE : EK_OK;
}

static ek_status NAME(ranking_piece)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(record_job) *j = ctx;
    const size_t c = j->c;
    (void)tmp;
    for (size_t i = begin; i < end; i++) {
        const uint8_t *y = j->y + i * c;
        const FLOAT *s = j->s + i * c;
        double *out = j->out + 3 * i;
        size_t truth = 0, wrong = 0, deepest = 0;
        double precision = 0.0;
        int nan = 0;
        for (size_t at = 0; at < c; at++) {
            truth += y[at];
            nan |= isnan(s[at]) != 0;
        }
        if (nan) return EK_EVALUE;
        FLOAT least = (FLOAT)INFINITY;
        for (size_t at = 0; at < c; at++) least = y[at] && s[at] < least ? s[at] : least;
        for (size_t at = 0; at < c && truth; at++) deepest += s[at] >= least;
        for (size_t at = 0; at < c; at++) {
            if (!y[at]) continue;
            uint32_t above = 0, true_above = 0; /* itself among them */
            for (size_t v = 0; v < c; v++) {
                const uint32_t over = s[v] >= s[at];
                above += over;
                true_above += over & y[v];
            }
            wrong += above - true_above;
            precision += (double)true_above / (double)above;
        }
        const int mixed = truth > 0 && truth < c;
        out[0] = mixed ? (double)wrong / ((double)truth * (double)(c - truth)) : 0.0;
        out[1] = (double)deepest;
        out[2] = mixed ? precision / (double)truth : 1.0;
    }
    return EK_OK;
}

ek_status NAME(ek_metric_ranking)(const uint8_t *y, const FLOAT *s, size_t n, size_t c,
                                  int coverage, double *out) {
    NAME(record_job) j = {y, s, n, c, 0, out, NULL, NULL};
    if (!coverage) return ek_parallel_for(n, 1 + 16384 / (c + 1), NAME(ranking_piece), &j);
    static const struct {
        unsigned need;
        DEPTH(fn) fn;
    } COVER[] = {
        {EK_CPU_AVX512, DEPTH(avx512)},
        {EK_CPU_AVX2,   DEPTH(avx2)  },
        {0,             DEPTH(ref)   },
    };
    j.depth = EK_PICK(COVER);
    return ek_parallel_for(n, 1 + 65536 / (c + 1), NAME(coverage_piece), &j);
}

/* One class per turn would stride; a piece takes eight neighbours. */
static ek_status NAME(calibration_piece)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(record_job) *j = ctx;
    const size_t c = j->c, bins = j->bins;
    (void)tmp;
    memset(j->out + begin * bins * 3, 0, (end - begin) * bins * 3 * sizeof *j->out);
    for (size_t at = begin; at < end; at++) j->square[at] = 0.0;
    for (size_t i = 0; i < j->n; i++) {
        for (size_t at = begin; at < end; at++) {
            const double p = (double)j->s[i * c + at], y = j->y[i * c + at];
            if (!(p >= 0.0 && p <= 1.0)) return EK_EVALUE;
            double *bin = j->out + (at * bins + bin_of(p, bins)) * 3;
            bin[0] += 1.0;
            bin[1] += p;
            bin[2] += y;
            j->square[at] += (p - y) * (p - y);
        }
    }
    return EK_OK;
}

ek_status NAME(ek_metric_calibration)(const uint8_t *y, const FLOAT *p, size_t n, size_t c,
                                      size_t bins, double *out, double *square) {
    NAME(record_job) j = {y, p, n, c, bins, out, square, NULL};
    return ek_parallel_for(c, 8, NAME(calibration_piece), &j);
}
