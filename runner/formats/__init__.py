"""Weight formats, one module each: packing, plain-arithmetic dequantisation, bytes."""
