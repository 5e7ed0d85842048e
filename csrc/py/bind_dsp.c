#include "ekpy.h"
#include "ek_dsp.h"

static PyObject *py_zscore(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "zscore", {"x", "out", "threads", "eps", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL;
    size_t threads = 0;
    double eps = 0.0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "threads", 0, &threads) < 0 ||
        ekpy_double(&sig, a[3], "eps", &eps) < 0)
        return NULL;
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], type, 1, NPY_MAXDIMS, "x")) == NULL) goto done;
    const int nd = PyArray_NDIM(x);
    if (PyArray_DIM(x, nd - 1) == 0) {
        ekpy_error("LayoutError", "zscore: x has no samples (last dimension 0)");
        goto done;
    }
    if ((out = ekpy_out(&sig, a[1], type, nd, PyArray_DIMS(x), "out")) == NULL) goto done;
    const size_t n = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    if (type == NPY_FLOAT)
        EKPY_RUN(st, threads, ek_dsp_zscore_f32(PyArray_DATA(x), n, t, eps, PyArray_DATA(out)));
    else
        EKPY_RUN(st, threads, ek_dsp_zscore_f64(PyArray_DATA(x), n, t, eps, PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

PyMethodDef ekpy_dsp_methods[] = {
    EKPY_METHOD("zscore", py_zscore),
    {NULL, NULL, 0, NULL},
};
