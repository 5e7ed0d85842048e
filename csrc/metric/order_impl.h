/* Records by ascending score, one class at a time: a radix sort of bytes. KEY is the unsigned type
 * of the score's width, FLOAT the score's, ORDER the function's name. */
static KEY NAME(key)(FLOAT x) {
    KEY u;
    x += (FLOAT)0; /* -0 becomes 0: they are equal */
    memcpy(&u, &x, sizeof u);
    const KEY top = (KEY)1 << (sizeof(KEY) * 8 - 1);
    return u & top ? ~u : u | top;
}

typedef struct {
    KEY key;
    uint32_t row;
} NAME(item);

typedef struct {
    const uint8_t *y;
    const FLOAT *s;
    size_t n, c;
    uint32_t *order;
} NAME(job);

static ek_status NAME(column)(const NAME(job) * j, size_t at, NAME(item) * a, NAME(item) * b) {
    size_t histogram[sizeof(KEY)][256];
    memset(histogram, 0, sizeof histogram);
    const size_t n = j->n, c = j->c;
    for (size_t i = 0; i < n; i++) {
        const FLOAT s = j->s[i * c + at];
        if (isnan(s)) return EK_EVALUE;
        const KEY key = NAME(key)(s);
        a[i].key = key;
        a[i].row = (uint32_t)i;
        for (size_t d = 0; d < sizeof(KEY); d++) histogram[d][key >> (8 * d) & 255]++;
    }
    for (size_t d = 0; d < sizeof(KEY); d++) {
        size_t *start = histogram[d];
        if (start[a[0].key >> (8 * d) & 255] == n) continue; /* one digit: nothing to move */
        size_t sum = 0;
        for (size_t v = 0; v < 256; v++) {
            const size_t here = start[v];
            start[v] = sum;
            sum += here;
        }
        for (size_t i = 0; i < n; i++) b[start[a[i].key >> (8 * d) & 255]++] = a[i];
        NAME(item) *swap = a;
        a = b;
        b = swap;
    }
    uint32_t *out = j->order + at * n;
    for (size_t i = 0; i < n; i++) {
        const uint32_t row = a[i].row;
        const uint32_t positive = j->y && j->y[row * c + at] ? EK_ORDER_POSITIVE : 0;
        const uint32_t last = i + 1 == n || a[i + 1].key != a[i].key ? EK_ORDER_LAST : 0;
        out[i] = row | positive | last;
    }
    return EK_OK;
}

static ek_status NAME(columns)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const NAME(job) *j = ctx;
    const size_t mark = ek_arena_mark(tmp);
    NAME(item) *a = ek_arena_alloc(tmp, j->n, sizeof *a);
    NAME(item) *b = ek_arena_alloc(tmp, j->n, sizeof *b);
    if (a == NULL || b == NULL) return EK_ENOMEM;
    ek_status st = EK_OK;
    for (size_t at = begin; at < end && st == EK_OK; at++) st = NAME(column)(j, at, a, b);
    ek_arena_reset(tmp, mark);
    return st;
}

ek_status ORDER(const uint8_t *y, const FLOAT *s, size_t n, size_t c, uint32_t *order) {
    if (n == 0 || n > EK_ORDER_ROW) return n == 0 ? EK_OK : EK_ESHAPE;
    NAME(job) j = {y, s, n, c, order};
    return ek_parallel_for(c, 1 + 16384 / n, NAME(columns), &j);
}
