/* Running median. */
#include "ekpy.h"
#include "ek_dsp.h"

static PyObject *py_median_filter(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kw) {
    static const ekpy_sig sig = {
        "median_filter", {"x", "size", "edge", "out", "threads", NULL},
         2
    };
    static const char *const edges[] = {"zero", "reflect", "nearest", NULL};
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL;
    size_t size = 0, threads = 0;
    int edge = EK_EDGE_ZERO;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[1], "size", 1, &size) < 0 ||
        ekpy_choice(&sig, a[2], "edge", edges, &edge) < 0 ||
        ekpy_size(&sig, a[4], "threads", 0, &threads) < 0)
        return NULL;
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], type, 1, NPY_MAXDIMS, "x")) == NULL) goto done;
    const int nd = PyArray_NDIM(x);
    const size_t n = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    if (t == 0) {
        ekpy_error("LayoutError", "median_filter: x has no samples (last dimension 0)");
        goto done;
    }
    if (size % 2 == 0 || size > 2 * t - 1) {
        PyErr_Format(
            PyExc_ValueError,
            "median_filter: size must be odd and at most 2*time - 1 = %zu for %zu samples, got %zu",
            2 * t - 1, t, size);
        goto done;
    }
    if ((out = ekpy_out(&sig, a[3], type, nd, PyArray_DIMS(x), "out")) == NULL) goto done;
    if (PyArray_DATA(out) != PyArray_DATA(x) && ekpy_no_overlap(&sig, out, x, "x") < 0) {
        Py_CLEAR(out);
        goto done;
    }
    if (type == NPY_FLOAT)
        EKPY_RUN(st, threads,
                 ek_dsp_median_f32(PyArray_DATA(x), n, t, size, (ek_dsp_edge)edge,
                                   PyArray_DATA(out)));
    else
        EKPY_RUN(st, threads,
                 ek_dsp_median_f64(PyArray_DATA(x), n, t, size, (ek_dsp_edge)edge,
                                   PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

PyMethodDef ekpy_median_methods[] = {
    EKPY_METHOD("median_filter", py_median_filter),
    {NULL, NULL, 0, NULL},
};
