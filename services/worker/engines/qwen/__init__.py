"""Models of the Qwen2.5-VL family (Nanonets-OCR-s and its like), on the GPU or the CPU."""
