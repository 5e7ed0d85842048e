/* One pair of curves of REAL. NAME adds the type's suffix; KERNELS is the dispatch table. */

/* The recursion as printed, row by row, in m values. */
static ek_status NAME(by_rows)(const REAL *p, size_t n, const REAL *q, size_t m, double scale,
                               size_t band, double limit, REAL *out, ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp);
    REAL *row = ek_arena_alloc(tmp, m + 1, sizeof *row); /* row[j+1] = C[i][j] */
    if (row == NULL) return EK_ENOMEM;
    for (size_t j = 0; j <= m; j++) row[j] = (REAL)INFINITY;
    for (size_t i = 0; i < n; i++) {
        REAL corner = i == 0 ? 0 : (REAL)INFINITY, low = (REAL)INFINITY; /* corner: C[i-1][j-1] */
        REAL left = (REAL)INFINITY;
        const size_t from = i > band ? i - band : 0;
        const size_t to = band < m - 1 && i + band < m - 1 ? i + band : m - 1;
        if (from > 0) {
            corner = row[from];
            row[from] = (REAL)INFINITY;
        }
        for (size_t j = from; j <= to; j++) {
            const REAL y = p[i] - q[j], up = row[j + 1];
            REAL d = y < 0 ? -y : y;
            if (scale >= 0) {
                const REAL t = ((REAL)i - (REAL)j) * (REAL)scale;
                d = t * t + y * y;
            }
            REAL best = corner < up ? corner : up; /* before left: that one comes last */
            best = left < best ? left : best;
            left = row[j + 1] = d > best ? d : best;
            corner = up;
            if (left < low) low = left;
        }
        if ((double)low > limit) { /* every coupling passes this row */
            *out = (REAL)INFINITY;
            ek_arena_reset(tmp, mark);
            return EK_OK;
        }
        if (i % 64 == 63 && ek_poll() != EK_OK) return EK_EINTR;
    }
    *out = row[m];
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static int NAME(above)(const REAL *a, const REAL *b, size_t first, size_t last, double limit) {
    REAL low = (REAL)INFINITY;
    for (size_t i = first; i <= last; i++) {
        low = a[i] < low ? a[i] : low;
        low = b[i] < low ? b[i] : low;
    }
    return (double)low > limit;
}

static ek_status NAME(by_diagonals)(const ek_frechet_kernel *kernel, const REAL *p, size_t n,
                                    const REAL *q, size_t m, double scale, size_t band,
                                    double limit, REAL *out, ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp), pad = EK_FRECHET_PAD, w = kernel->width;
    REAL *pp = ek_arena_alloc(tmp, n + 2 * pad, sizeof *pp);
    REAL *qq = ek_arena_alloc(tmp, m + 4 * pad, sizeof *qq);
    REAL *a = ek_arena_alloc(tmp, n + 2 * pad, sizeof *a);
    REAL *b = ek_arena_alloc(tmp, n + 2 * pad, sizeof *b);
    REAL *x2 = ek_arena_alloc(tmp, n + 2 * pad, sizeof *x2);
    if (pp == NULL || qq == NULL || a == NULL || b == NULL || x2 == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < n + 2 * pad; i++) {
        pp[i] = i >= pad && i < n + pad ? p[i - pad] : -(REAL)INFINITY;
        a[i] = b[i] = (REAL)INFINITY;
        x2[i] = 2 * ((REAL)i - (REAL)pad);
    }
    for (size_t j = 0; j < m + 4 * pad; j++)
        qq[j] = j >= 2 * pad && j < m + 2 * pad ? q[m - 1 - (j - 2 * pad)] : (REAL)INFINITY;
    b[pad - 1] = 0; /* the cell before the first */
    ek_frechet_pass t = {pp + pad, NULL, x2 + pad, a + pad, b + pad, 0, 0, scale, 0};
    const size_t diagonals = n + m - 1, step = kernel->steps;
    const int banded = band < n - 1 || band < m - 1;
    ek_status st = EK_OK;
    size_t checked = 0;
    for (size_t k = 0; k < diagonals && st == EK_OK;) {
        const size_t take = !banded && k + step <= diagonals ? step : 1;
        size_t low = k >= m ? k - m + 1 : 0, high = k + take - 1 < n ? k + take - 1 : n - 1;
        if (banded) { /* |i - j| <= band: k - band <= 2 i <= k + band */
            if (k > band && (k - band + 1) / 2 > low) low = (k - band + 1) / 2;
            if ((k + band) / 2 < high) high = (k + band) / 2;
        }
        t.first = (banded && low > 0 ? low - 1 : low) / w * w; /* a band keeps lane low-1 fresh */
        t.last = high;
        t.k = (double)k;
        /* lane i of diagonal k meets q[k - i], which lies at 2 pad + m - 1 - (k - i) */
        t.q = qq + (ptrdiff_t)(2 * pad + m - 1) - (ptrdiff_t)k;
        (take == step ? kernel->step : kernel->one)(&t);
        if (banded) {
            REAL *now = t.a; /* the pass leaves its last diagonal in a, the one before in b */
            for (size_t i = t.first; i < low; i++) now[i] = (REAL)INFINITY;
            for (size_t i = high + 1; i < high + 1 + w; i++) now[i] = (REAL)INFINITY;
        }
        if (k == 0) b[pad - 1] = (REAL)INFINITY;
        k += take;
        if (k - checked >= 128) {
            checked = k;
            st = ek_poll();
            if (limit < (double)INFINITY && NAME(above)(t.a, t.b, low, high, limit)) {
                a[pad + n - 1] = (REAL)INFINITY; /* a coupling meets one of two neighbours */
                break;
            }
        }
    }
    *out = a[pad + n - 1];
    ek_arena_reset(tmp, mark);
    return st;
}

typedef struct {
    const REAL *p, *q;
    size_t n, m, band, p_stride, q_stride;
    double scale, limit;
    REAL *out;
} NAME(job);

static ek_status NAME(pairs)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(job) *j = ctx;
    const ek_frechet_kernel kernel = EK_PICK(KERNELS);
    const double limit = j->scale >= 0 ? j->limit * j->limit : j->limit;
    for (size_t i = begin; i < end; i++) {
        const REAL *p = j->p + i * j->p_stride, *q = j->q + i * j->q_stride;
        REAL sum = 0;
        for (size_t v = 0; v < j->n; v++) sum += p[v] - p[v];
        for (size_t v = 0; v < j->m; v++) sum += q[v] - q[v];
        REAL value = (REAL)NAN;
        if (!isnan(sum)) { /* all finite */
            const ek_status st =
                kernel.width
                    ? NAME(by_diagonals)(&kernel, p, j->n, q, j->m, j->scale, j->band, limit,
                                         &value, tmp)
                    : NAME(by_rows)(p, j->n, q, j->m, j->scale, j->band, limit, &value, tmp);
            if (st != EK_OK) return st;
            if (j->scale >= 0) value = (REAL)sqrt((double)value);
            if ((double)value > j->limit) value = (REAL)INFINITY;
        }
        j->out[i] = value;
    }
    return EK_OK;
}

ek_status NAME(ek_metric_frechet)(const REAL *p, size_t p_stride, size_t n, const REAL *q,
                                  size_t q_stride, size_t m, size_t pairs, double scale,
                                  size_t band, double limit, REAL *out) {
    if (n == 0 || m == 0) return EK_ESHAPE;
    if (band < (n > m ? n - m : m - n)) return EK_EVALUE;
    NAME(job) j = {p, q, n, m, band, p_stride, q_stride, scale, limit, out};
    return ek_parallel_for(pairs, 1, NAME(pairs), &j);
}
