/* winograd_impl.h: the transforms of F(2x2, 3x3) over vec_*.h, one block of 16 channels at a time.
 */

/* B^T along one line: (d0-d2, d1+d2, d2-d1, d1-d3). */
ALWAYS void wino_line(const vf *d, vf *out) {
    out[0] = vf_sub(d[0], d[2]);
    out[1] = vf_add(d[1], d[2]);
    out[2] = vf_sub(d[2], d[1]);
    out[3] = vf_sub(d[1], d[3]);
}

static void wino_in(const float *x, size_t pitch, size_t n, float *v, size_t point) {
    for (size_t h = 0; h < HALVES; h++)
        for (size_t t = 0; t < n; t++) {
            const float *p = x + 2 * t * EK_LANES + h * VF;
            float *o = v + t * EK_LANES + h * VF;
            vf half[4][4];
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; i++) {
                vf row[4];
#pragma GCC unroll 4
                for (size_t j = 0; j < 4; j++) row[j] = vf_load(p + i * pitch + j * EK_LANES);
                wino_line(row, half[i]);
            }
#pragma GCC unroll 4
            for (size_t j = 0; j < 4; j++) {
                const vf column[4] = {half[0][j], half[1][j], half[2][j], half[3][j]};
                vf out[4];
                wino_line(column, out);
#pragma GCC unroll 4
                for (size_t i = 0; i < 4; i++) vf_store(o + (4 * i + j) * point, out[i]);
            }
        }
}

ALWAYS void wino_put(const ek_wino_out *o, size_t y, size_t x, size_t lane, vf value) {
    if (x >= o->columns) return;
    if (o->res != NULL)
        value = vf_add(value, vf_load(o->res + y * o->res_pitch + x * EK_LANES + lane));
    vf_store(o->out + y * o->pitch + x * EK_LANES + lane,
             vf_min(vf_set1(o->hi), vf_max(vf_set1(o->lo), value)));
}

static void wino_out(const ek_wino_out *o) {
    for (size_t h = 0; h < HALVES; h++)
        for (size_t t = 0; t < o->n; t++) {
            const float *m = o->m + t * o->tile + h * VF;
            vf top[4], low[4];
#pragma GCC unroll 4
            for (size_t j = 0; j < 4; j++) {
                const vf a = vf_load(m + j * o->point), b = vf_load(m + (4 + j) * o->point);
                const vf c = vf_load(m + (8 + j) * o->point), d = vf_load(m + (12 + j) * o->point);
                top[j] = vf_add(vf_add(a, b), c);
                low[j] = vf_sub(vf_sub(b, c), d);
            }
            const vf bias = vf_load(o->bias + h * VF);
            vf y[2][2];
            y[0][0] = vf_add(vf_add(vf_add(top[0], top[1]), top[2]), bias);
            y[0][1] = vf_add(vf_sub(vf_sub(top[1], top[2]), top[3]), bias);
            y[1][0] = vf_add(vf_add(vf_add(low[0], low[1]), low[2]), bias);
            y[1][1] = vf_add(vf_sub(vf_sub(low[1], low[2]), low[3]), bias);
            const vf sum = vf_add(vf_add(y[0][0], y[0][1]), vf_add(y[1][0], y[1][1]));
            o->bad[t] |= (unsigned char)vf_any_nan(vf_sub(sum, sum)); /* NaN or infinity */
            wino_put(o, 0, 2 * t, h * VF, y[0][0]);
            wino_put(o, 0, 2 * t + 1, h * VF, y[0][1]);
            if (o->rows < 2) continue;
            wino_put(o, 1, 2 * t, h * VF, y[1][0]);
            wino_put(o, 1, 2 * t + 1, h * VF, y[1][1]);
        }
}
