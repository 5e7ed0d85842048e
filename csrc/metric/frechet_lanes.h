/* The passes of frechet.h over vectors. The including file defines VEC, LANES, REAL, NAME, STEPS
 * and LOAD STORE SET SUB MUL ADD MIN MAX       on vectors FARTHER(y, x) max(|y|, x) for x of 0 or
 * more BEFORE(x, prev)                          lane l = lane l-1 of x, lane 0 = last lane of prev
 */
static inline __attribute__((always_inline)) void NAME(pass)(const ek_frechet_pass *w, int plane,
                                                             int steps) {
    const REAL *restrict p = w->p, *restrict q = w->q, *restrict x2 = w->x2;
    REAL *restrict a = w->a, *restrict b = w->b;
    const VEC scale = SET((REAL)w->scale), inf = SET((REAL)INFINITY);
    VEC k[STEPS], left[STEPS + 1]; /* of every diagonal: the vector before */
    for (int l = 0; l < steps; l++) {
        k[l] = SET((REAL)(w->k + l));
        left[l + 1] = inf;
    }
    left[0] = LOAD(b + (ptrdiff_t)w->first - LANES);
    left[1] = LOAD(a + (ptrdiff_t)w->first - LANES);
    for (ptrdiff_t i = (ptrdiff_t)w->first; i <= (ptrdiff_t)w->last; i += LANES) {
        const VEC pi = LOAD(p + i), xi = plane ? LOAD(x2 + i) : pi;
        VEC older = LOAD(b + i), old = LOAD(a + i);
        VEC older_left = BEFORE(older, left[0]), old_left;
        left[0] = older;
        for (int l = 0; l < steps; l++) {
            old_left = BEFORE(old, left[l + 1]);
            left[l + 1] = old;
            const VEC y = SUB(pi, LOAD(q + i - l)),
                      t = MUL(SUB(xi, k[l]), scale); /* i - j = 2 i - k */
            const VEC best = MIN(MIN(old, old_left), older_left);
            const VEC now = plane ? MAX(ADD(MUL(t, t), MUL(y, y)), best) : FARTHER(y, best);
            older = old;
            older_left = old_left;
            old = now;
        }
        STORE(a + i, old);
        STORE(b + i, older);
    }
}

void NAME(ek_frechet_one)(const ek_frechet_pass *t) {
    if (t->scale < 0)
        NAME(pass)(t, 0, 1);
    else
        NAME(pass)(t, 1, 1);
}

void NAME(ek_frechet_step)(const ek_frechet_pass *t) {
    if (t->scale < 0)
        NAME(pass)(t, 0, STEPS);
    else
        NAME(pass)(t, 1, STEPS);
}
