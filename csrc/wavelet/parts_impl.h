/* parts_impl.h: long signals and parts of them, written once for both precisions. Beside
 * rows_impl.h's macros the including file defines blocks_run. */

/* EK_EINTERNAL: not a long signal, nothing was done. */
static ek_status long_signal(const REAL *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                             size_t width, int complex_out, int power, REAL *out) {
    ek_wavelet_grid grid;
    if (n == 0 || spec->rows == 0) return EK_EINTERNAL;
    if (ek_wavelet_grid_of(spec, FFT_TYPE, &grid) != EK_OK || !ek_wavelet_is_long(t, &grid))
        return EK_EINTERNAL;
    ek_wavelet_blocks blocks = ek_wavelet_blocks_of(&grid, n, t, spec->pad);
    if (complex_out || width == t) return blocks_run(x, &blocks, spec, complex_out, power, out);
    ek_arena *tmp = ek_arena_borrow();
    ek_wavelet_columns columns;
    ek_status st = EK_ENOMEM;
    if (tmp != NULL) st = ek_wavelet_columns_make(&blocks, t, width, 0, 0, width, &columns, tmp);
    blocks.columns = &columns;
    if (st == EK_OK) st = blocks_run(x, &blocks, spec, 0, power, out);
    ek_arena_return(tmp);
    return st;
}

static ek_status part_blocks(size_t n, size_t t, const ek_wavelet_spec *spec,
                             ek_wavelet_blocks *blocks) {
    ek_wavelet_grid grid;
    const ek_status st = ek_wavelet_grid_of(spec, FFT_TYPE, &grid);
    if (st != EK_OK) return st;
    *blocks = ek_wavelet_blocks_of(&grid, n, t, spec->pad);
    blocks->given = 1;
    blocks->row = blocks->blocks * grid.step + grid.length - grid.step;
    return EK_OK;
}

ek_status NAME(ek_wavelet_cwt_part)(const REAL *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                                    REAL *out) {
    ek_wavelet_blocks blocks;
    if (n == 0 || t == 0 || spec->rows == 0) return EK_OK;
    const ek_status st = part_blocks(n, t, spec, &blocks);
    return st != EK_OK ? st : blocks_run(x, &blocks, spec, 1, 0, out);
}

ek_status NAME(ek_wavelet_scalogram_part)(const REAL *x, size_t n, size_t t,
                                          const ek_wavelet_spec *spec, const ek_part_columns *part,
                                          REAL *out) {
    ek_wavelet_blocks blocks;
    if (n == 0 || t == 0 || spec->rows == 0) return EK_OK;
    ek_status st = part_blocks(n, t, spec, &blocks);
    if (st != EK_OK || part->width == 0)
        return st != EK_OK ? st : blocks_run(x, &blocks, spec, 0, part->power, out);
    ek_arena *tmp = ek_arena_borrow();
    ek_wavelet_columns columns;
    if (tmp == NULL) return EK_ENOMEM;
    st = ek_wavelet_columns_make(&blocks, part->total, part->width, part->begin, part->first,
                                 part->last, &columns, tmp);
    blocks.columns = &columns;
    if (st == EK_OK && columns.count > 0) st = blocks_run(x, &blocks, spec, 0, part->power, out);
    ek_arena_return(tmp);
    return st;
}
