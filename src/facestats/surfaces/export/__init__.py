"""Write the results as CSV, Excel, SPSS or Parquet, for other programs: one row per picture, one value per cell."""
