"""Install-prefix tarballs, one per GPU family, assembled from segments that are shared."""
