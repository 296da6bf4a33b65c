"""Operations of the encoders: the LSTM recurrence and Winograd convolution."""
