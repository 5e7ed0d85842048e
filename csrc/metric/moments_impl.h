/* Mean and covariance of rows of FLOAT. */
typedef struct {
    const FLOAT *x;
    size_t n, d;
    double *mean, *centred;
    size_t first; /* row of x that is row 0 of centred */
} NAME(moments_job);

static ek_status NAME(mean_columns)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(moments_job) *j = ctx;
    (void)tmp;
    for (size_t c = begin; c < end; c++) j->mean[c] = 0.0;
    for (size_t i = 0; i < j->n; i++)
        for (size_t c = begin; c < end; c++) j->mean[c] += (double)j->x[i * j->d + c];
    for (size_t c = begin; c < end; c++) j->mean[c] /= (double)j->n;
    return EK_OK;
}

static ek_status NAME(centre_rows)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(moments_job) *j = ctx;
    (void)tmp;
    for (size_t i = begin; i < end; i++) {
        const FLOAT *x = j->x + (j->first + i) * j->d;
        for (size_t c = 0; c < j->d; c++) j->centred[i * j->d + c] = (double)x[c] - j->mean[c];
    }
    return EK_OK;
}

ek_status NAME(ek_metric_moments)(const FLOAT *x, size_t n, size_t d, double *mean, double *cov,
                                  double *centred) {
    if (n < 2 || d == 0) return EK_ESHAPE;
    ek_linalg_single();
    NAME(moments_job) j = {x, n, d, mean, centred, 0};
    ek_status st = ek_parallel_for(d, 128, NAME(mean_columns), &j);
    const size_t grain = 1 + 32768 / d;
    if (st == EK_OK && centred != NULL) st = ek_parallel_for(n, grain, NAME(centre_rows), &j);
    if (st != EK_OK || cov == NULL) return st;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    j.centred = ek_arena_f64(tmp, (n < ROWS ? n : ROWS) * d);
    if (j.centred == NULL) st = EK_ENOMEM;
    for (; j.first < n && st == EK_OK; j.first += ROWS) {
        const size_t rows = n - j.first < ROWS ? n - j.first : ROWS;
        st = ek_parallel_for(rows, grain, NAME(centre_rows), &j);
        gram_job g = {j.centred, cov, rows, d, 1.0 / (double)(n - 1), j.first == 0 ? 0.0 : 1.0};
        if (st == EK_OK) st = ek_parallel_for((d + TILE - 1) / TILE, 1, gram_tiles, &g);
    }
    ek_arena_return(tmp);
    for (size_t i = 0; i < d && st == EK_OK; i++)
        for (size_t c = 0; c < i; c++) cov[i * d + c] = cov[c * d + i];
    return st;
}
