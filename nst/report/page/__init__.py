"""What reports/index.html shows beside sentences and tables: pictures, charts, and how they belong together."""
