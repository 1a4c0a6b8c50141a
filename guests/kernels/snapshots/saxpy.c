// One exported y += a * x without a C library: what snapshot tests of generated code compile.
__attribute__((export_name("saxpy"))) void saxpy(int n, float a, const float *x, float *y) {
    for (int i = 0; i < n; i++) {
        y[i] += a * x[i];
    }
}
